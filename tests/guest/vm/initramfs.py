"""The guest's first file system: busybox, drivers, and what the guest is to do."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from vm.kernel import Kernel

HERE = Path(__file__).parent
SCRIPTS = ("init.sh", "start.sh", "cgroups.sh", "user.sh")


def write(image: Path, kernel: Kernel, settings: Mapping[str, str], command: str) -> None:
    """Write an initramfs: see Documentation/driver-api/early-userspace/buffer-format.rst.

    `settings` are the scripts' variables; `command` is a shell script of the caller's.
    """
    tree = image.with_suffix(".tree")
    for folder in ("bin", "dev", "guest", "modules", "proc", "sys"):
        (tree / folder).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tree / "bin/busybox")
    with open(tree / "modules/order", "w", encoding="utf-8") as order:
        for name, content in kernel.early_modules():
            (tree / "modules" / f"{name}.ko").write_bytes(content)
            print(name, file=order)
    for script in SCRIPTS:
        shutil.copy(HERE / script, tree / "guest" / script)
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    (tree / "guest/settings").write_text("".join(lines))
    (tree / "guest/command").write_text(command)
    (tree / "guest/init.sh").chmod(0o755)
    (tree / "init").symlink_to("guest/init.sh")
    with open(image, "wb") as archive:
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        subprocess.run(
            [busybox, "cpio", "-o", "-H", "newc"],
            cwd=tree,
            input=names.encode(),
            stdout=archive,
            stderr=subprocess.DEVNULL,  # it tells the number of blocks
            check=True,
        )
    shutil.rmtree(tree)
