"""Other programs that start a command in isolation, each as a function that does it once."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Start = Callable[[], object]


def peers(folder: Path, busybox: str) -> dict[str, Start | None]:
    """Return how each peer is started; None for one that is not installed."""
    command = [busybox, "true"]
    found: dict[str, Start | None] = {
        "unshare": _runs(["unshare", "-muinpCf", *command]),
        "bwrap": _runs(
            ["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
             "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc",
             "--dev", "/dev", "--tmpfs", "/tmp", *command]
        ),
    }  # fmt: skip
    for runtime in ("crun", "runc"):
        found[runtime] = _bundle(folder, runtime, busybox) if os.geteuid() == 0 else None
    return found


def _runs(command: list[str]) -> Start | None:
    if shutil.which(command[0]) is None:
        return None
    return lambda: subprocess.run(command, check=True)


def _bundle(folder: Path, runtime: str, busybox: str) -> Start | None:
    """Make a bundle as the runtime itself specifies it, with busybox as its root."""
    if shutil.which(runtime) is None:
        return None
    bundle = folder / runtime
    (bundle / "rootfs/bin").mkdir(parents=True)
    shutil.copy(busybox, bundle / "rootfs/bin/busybox")
    subprocess.run([runtime, "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(args=["/bin/busybox", "true"], terminal=False)
    (bundle / "config.json").write_text(json.dumps(config))
    state = ["--root", str(folder / f"{runtime}-state")]
    if runtime == "crun":  # which makes no cgroups on a host with both versions
        state += ["--cgroup-manager", "disabled"]
    name = f"nsbox-bench-{os.getpid()}"
    command = [runtime, *state, "run", "--bundle", str(bundle), name]
    return lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
