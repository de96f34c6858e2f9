"""Steps that the calling thread does itself, in a folder of its own; for valgrind: see .ci/sanitize."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import nsbox
from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.perform import perform
from nsbox.plan import Slot, Step


def fails(number: int, *steps: Step) -> None:
    found = 0
    try:
        perform(steps)
    except nsbox.StepError as error:
        found = error.errno
    assert found == number, (steps, found)


def main(top: Path) -> None:
    tree, copies = top / "tree", top / "copies"
    copy = copies / "tree"
    copy.mkdir(parents=True)
    (copies / "links").mkdir()  # where the copies of hard links are found again
    root = Step(Operation.OPEN_FOLDER, (Slot.ROOT, str(top)))
    long = "n" * 255
    perform([Step(Operation.MKDIR, (str(tree), 0o755))])
    perform(
        [
            root,
            Step(Operation.MKDIRAT, (Slot.ROOT, f"tree/{long}", 0o700)),
            Step(Operation.MKDIRAT, (Slot.ROOT, f"tree/{long}", 0o700)),
            Step(Operation.OPENAT, (Slot.ROOT, f"tree/{long}/file", 0o644, b"x" * 100_000)),
            Step(Operation.OPENAT, (Slot.ROOT, "tree/empty", 0o644, b"")),
            Step(Operation.OPENAT, (Slot.ROOT, "tree/empty", 0o644, b"")),
            Step(Operation.SYMLINKAT, ("../" * 300, Slot.ROOT, "tree/link")),
            Step(Operation.SYMLINKAT, ("../" * 300, Slot.ROOT, "tree/link")),
            Step(Operation.MKNODAT, (Slot.ROOT, "tree/fifo", stat.S_IFIFO | 0o600, 0, 0)),
            Step(Operation.OPEN_FOLDER, (Slot.TREE, str(copies))),
            Step(Operation.COPY_TREE, (str(tree), Slot.TREE, "to be looked at")),
            Step(Operation.MKDIRAT, (Slot.ROOT, "up", 0o700)),
            Step(Operation.OPEN_FOLDER, (Slot.TREE, str(top / "up"))),
            Step(Operation.COPY_UP, (Slot.ROOT, "tree", Slot.TREE, 1)),
        ]
    )
    assert sorted(os.listdir(top / "up")) == sorted(os.listdir(tree))
    assert (top / "up").stat().st_mode == tree.stat().st_mode
    assert (copy / long / "file").read_bytes() == b"x" * 100_000
    assert os.readlink(copy / "link") == "../" * 300
    assert (copy / "fifo").is_fifo()
    fails(errno.EEXIST, root, Step(Operation.SYMLINKAT, ("x", Slot.ROOT, "tree/link")))
    fails(errno.EEXIST, root, Step(Operation.OPENAT, (Slot.ROOT, "tree/empty", 0o644, b"x")))
    fails(errno.ENAMETOOLONG, root, Step(Operation.MKDIRAT, (Slot.ROOT, "d/" * 2500, 0o700)))
    fails(errno.ENOENT, root, Step(Operation.MKDIRAT, (Slot.ROOT, "no/such", 0o700)))
    fails(errno.ENOENT, Step(Operation.WRITE, (str(top / "none"), b"x")))
    fails(errno.EBADF, Step(Operation.FCHDIR, (Slot.MOUNT,)))
    fails(errno.EDOM, Step(Operation.FAIL, (errno.EDOM,)))
    deep = tree
    for _ in range(45):
        deep /= "deep"
    deep.mkdir(parents=True)
    deeper = [
        Step(Operation.OPEN_FOLDER, (Slot.TREE, str(copies))),
        Step(Operation.COPY_TREE, (str(tree), Slot.TREE, "to be too deep")),
    ]
    fails(errno.ENAMETOOLONG, *deeper)

    handed = perform([Step(Operation.HAND_OVER, ("/proc/self/ns/net",))])
    os.close(handed.take_descriptor())
    handed.abandon()
    assert _native.ask("no such call") == -errno.EINVAL
    assert _native.syscalls()["read"] >= 0
    assert _native.first_process() >= 0
    folder = os.open(top, os.O_PATH)
    _native.make_beneath(folder, b"made", 0o700, (-1, -1))
    os.close(_native.open_beneath(folder, b"made", os.O_RDONLY))
    os.close(folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="nsbox-steps-") as folder:
        main(Path(folder))
