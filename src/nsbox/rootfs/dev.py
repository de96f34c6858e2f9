"""A small /dev, and terminals of the box's own. See null(4), random(4), full(4), tty(4), pts(4)."""

import stat
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs.filesystem import (
    NODEV,
    NOEXEC,
    NOSUID,
    NOTHING,
    RDONLY,
    attach,
    new_mount,
    new_tmpfs,
)
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import DevMount, DevptsMount
from nsbox.rootfs.tree import point

DEVICES = {
    "full": (1, 7),
    "null": (1, 3),
    "random": (1, 8),
    "tty": (5, 0),
    "urandom": (1, 9),
    "zero": (1, 5),
}
"""The devices by their numbers, as the kernel's document devices.txt lists them."""

LINKS = {
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}


def dev(mount: DevMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a /dev; all work in it is done by its own descriptor, whatever its name leads to.

    Where the box could make devices itself, no file system that it can write to lets them work.
    """
    makes = layout.site.devices
    attributes = NOSUID | NOEXEC | (NOTHING if makes else NODEV)
    yield from new_tmpfs(Slot.MOUNT, mode=0o755, attributes=attributes)
    yield attach(Slot.MOUNT, mount.target)
    for name in DEVICES:
        yield from made(name) if makes else _bound(name)
    for name, link in LINKS.items():
        yield Step(Operation.SYMLINKAT, (link, Slot.MOUNT, name))
    yield point(Slot.MOUNT, "pts", folder=True)
    yield from _new_devpts(0o620)
    yield attach(Slot.TREE, "pts", beneath=Slot.MOUNT)
    yield point(Slot.MOUNT, "shm", folder=True)
    yield from new_tmpfs(Slot.TREE, mode=0o1777, attributes=NOSUID | NODEV | NOEXEC)
    yield attach(Slot.TREE, "shm", beneath=Slot.MOUNT)


def devpts(mount: DevptsMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a /dev/pts."""
    yield from _new_devpts(mount.mode)
    yield attach(Slot.TREE, mount.target)


def _new_devpts(mode: int) -> Iterator[Step]:
    options = {"mode": f"0{mode:o}", "ptmxmode": "0666"}
    yield from new_mount("devpts", Slot.TREE, options, NOSUID | NOEXEC)


def made(path: str, *, beneath: Slot = Slot.MOUNT) -> Iterator[Step]:
    """Make a device by its name."""
    numbers = DEVICES[path.rpartition("/")[2]]
    yield Step(Operation.MKNODAT, (beneath, path, stat.S_IFCHR | 0o666, *numbers))


def _bound(name: str) -> Iterator[Step]:
    """Show the host's; of its inode nothing can be changed."""
    yield point(Slot.MOUNT, name, folder=False)
    yield Step(Operation.OPEN_DEVICE, (Slot.TREE, Slot.CWD, f"/dev/{name}", *DEVICES[name]))
    fixed = RDONLY | NOSUID | NOEXEC
    yield Step(Operation.MOUNT_SETATTR, (Slot.TREE, "", AtFlag.AT_EMPTY_PATH, fixed, 0, 0))
    yield attach(Slot.TREE, name, beneath=Slot.MOUNT)
