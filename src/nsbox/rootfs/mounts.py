"""Each kind of `Mount` lowered to steps, beneath the root in `Slot.ROOT`."""

import enum
import functools
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.plan import Slot, Step
from nsbox.rootfs import bind, cgroup_trees, dev, files, overlay, proc
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
from nsbox.rootfs.mount import (
    BindMount,
    CgroupMount,
    DevMount,
    DevptsMount,
    FileMount,
    MaskedMount,
    Mount,
    MqueueMount,
    OverlayMount,
    ProcMount,
    ReadonlyMount,
    SecretMount,
    SymlinkMount,
    SysfsMount,
    TmpfsMount,
)
from nsbox.rootfs.tree import is_host_folder, link


class Point(enum.Enum):
    """What must be there before something is mounted."""

    FOLDER = enum.auto()
    FILE = enum.auto()
    LINK = enum.auto()  # nothing, in a folder
    EXISTING = enum.auto()  # whatever it is about


def point_of(mount: Mount) -> Point:
    """Return what something is mounted upon."""
    match mount:
        case BindMount():
            return Point.FOLDER if is_host_folder(mount.source) else Point.FILE
        case FileMount() | SecretMount():
            return Point.FILE
        case SymlinkMount():
            return Point.LINK
        case MaskedMount() | ReadonlyMount():
            return Point.EXISTING
    return Point.FOLDER


STAGED = (FileMount, SecretMount, OverlayMount)
"""Kinds that need the stage."""


@functools.singledispatch
def steps(mount: Mount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower one mount; its mount point is there. `number` is its place in the layout."""
    raise TypeError(f"no steps for {mount!r}")


steps.register(BindMount, bind.steps)
steps.register(CgroupMount, cgroup_trees.cgroup)
steps.register(DevMount, dev.dev)
steps.register(DevptsMount, dev.devpts)
steps.register(FileMount, files.file)
steps.register(MaskedMount, proc.masked)
steps.register(OverlayMount, overlay.overlay)
steps.register(ProcMount, proc.proc)
steps.register(ReadonlyMount, proc.readonly)
steps.register(SecretMount, files.secret)


@steps.register
def _tmpfs(mount: TmpfsMount, number: int, layout: Layout) -> Iterator[Step]:
    attributes = NOSUID | NODEV | (NOEXEC if mount.noexec else NOTHING)
    mode = 0o755 if mount.mode is None else mount.mode
    yield from new_tmpfs(Slot.TREE, mode=mode, size=mount.size, attributes=attributes)
    if mount.copy_up:
        own = mount.mode is None
        folder = mount.target.lstrip("/")
        yield Step(Operation.COPY_UP, (Slot.ROOT, folder, Slot.TREE, int(own)))
    yield attach(Slot.TREE, mount.target)


@steps.register
def _sysfs(mount: SysfsMount, number: int, layout: Layout) -> Iterator[Step]:
    attributes = NOSUID | NODEV | NOEXEC | (RDONLY if mount.readonly else NOTHING)
    yield from new_mount("sysfs", Slot.TREE, {}, attributes)
    yield attach(Slot.TREE, mount.target)


@steps.register
def _mqueue(mount: MqueueMount, number: int, layout: Layout) -> Iterator[Step]:
    yield from new_mount("mqueue", Slot.TREE, {}, NOSUID | NODEV | NOEXEC)
    yield attach(Slot.TREE, mount.target)


@steps.register
def _symlink(mount: SymlinkMount, number: int, layout: Layout) -> Iterator[Step]:
    yield link(mount.target.lstrip("/"), mount.to)
