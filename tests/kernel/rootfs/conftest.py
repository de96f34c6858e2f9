"""A tree to be a root, a canary that nothing may change, and a shell in a root."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, RootFS


@pytest.fixture
def tree(tmp_path: Path, busybox: str) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "srv").mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    (root / "srv/index.html").write_text("It works\n")
    return root


@pytest.fixture
def sh() -> Callable[..., "nsbox.CompletedProcess"]:
    """Run a script by the busybox of a root."""

    def run(script: str, rootfs: RootFS, **spec: object) -> "nsbox.CompletedProcess":
        command = ["/bin/busybox", "sh", "-c", script]
        box = BoxSpec(rootfs=rootfs, **spec)
        return nsbox.run(command, box, capture_output=True, text=True, timeout=60)

    return run


def look(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, tuple[int, int, bytes]]]:
    """Take down a tree: modes, times and contents."""
    return look


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree of the host that no box may change."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "file").write_text("untouched\n")
    before = look(folder)
    yield folder
    assert look(folder) == before


@pytest.fixture
def mount_calls() -> None:
    """The test is about what mount(2) cannot do."""
    finding = nsbox.probe().mount_api
    if not finding.ok:
        pytest.skip(f"needs the younger mount calls: {finding.reason}")


@pytest.fixture
def apart(root: None) -> Callable[..., str]:
    """Run Python where mounts may be made: in a mnt namespace that stands for a host."""

    def run(script: str, *args: object) -> str:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", script,
             *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
