"""Files with contents from Python, written out of the box's sight and shown from there."""

from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs.filesystem import NODEV, NOEXEC, NOSUID, RDONLY, attach, new_tmpfs
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import FileMount, SecretMount
from nsbox.rootfs.site import Site

_NO_SWAP = (6, 4)


def stage(site: Site) -> Iterator[Step]:
    """Mount a folder in memory that the root will cover: for files, and the layers of overlays."""
    yield from new_tmpfs(Slot.STAGE, mode=0o700)
    yield Step(Operation.MOVE_MOUNT, (Slot.STAGE, Slot.CWD, site.place))


def file(mount: FileMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a file."""
    name = f"file{number}"
    yield Step(Operation.OPENAT, (Slot.STAGE, name, mount.mode, mount.content))
    yield Step(Operation.OPEN_TREE, (Slot.TREE, Slot.STAGE, name, AtFlag.OPEN_TREE_CLONE))
    yield attach(Slot.TREE, mount.target)


def secret(mount: SecretMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a secret: a file system of its own, so that no swap, and no other file, sees it."""
    folder = f"secret{number}"
    site = layout.site
    swaps = site.own_users or site.kernel < _NO_SWAP
    attributes = NOSUID | NODEV | NOEXEC
    yield Step(Operation.MKDIRAT, (Slot.STAGE, folder, 0o700))
    yield from new_tmpfs(Slot.MOUNT, mode=0o700, swap=swaps, attributes=attributes)
    yield attach(Slot.MOUNT, folder, beneath=Slot.STAGE)
    yield Step(Operation.OPENAT_SECRET, (Slot.MOUNT, "secret", mount.mode, mount.content))
    yield Step(Operation.OPEN_TREE, (Slot.TREE, Slot.MOUNT, "secret", AtFlag.OPEN_TREE_CLONE))
    yield Step(
        Operation.MOUNT_SETATTR, (Slot.TREE, "", AtFlag.AT_EMPTY_PATH, RDONLY | attributes, 0, 0)
    )
    yield attach(Slot.TREE, mount.target)
