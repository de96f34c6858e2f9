"""Each kind of `Mount` lowered to steps, beneath the root in `Slot.ROOT`."""

import functools
import os
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, ConfigCommand, MountAttribute
from nsbox.plan import Slot, Step
from nsbox.rootfs.mount import BindMount, DevMount, FileMount, Mount, ProcMount, TmpfsMount
from nsbox.rootfs.tree import clone_tree, point

MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list")
"""Entries of /proc that tell of the host; they look empty. What container engines mask."""

READONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
"""Entries of /proc that set what the whole host goes by; they can only be read."""

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}

_NOSUID = MountAttribute.MOUNT_ATTR_NOSUID
_NODEV = MountAttribute.MOUNT_ATTR_NODEV
_NOEXEC = MountAttribute.MOUNT_ATTR_NOEXEC
_RDONLY = MountAttribute.MOUNT_ATTR_RDONLY
_BENEATH = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE


@functools.singledispatch
def steps(mount: Mount, number: int) -> Iterator[Step]:
    """Lower one mount; its mount point is there. `number` is its place among the root's mounts."""
    raise TypeError(f"no steps for {mount!r}")


@steps.register
def _bind(mount: BindMount, number: int) -> Iterator[Step]:
    attributes = _NOSUID | _NODEV
    attributes |= _RDONLY if mount.readonly else MountAttribute(0)
    attributes |= _NOEXEC if mount.noexec else MountAttribute(0)
    yield clone_tree(os.path.abspath(mount.source), recursive=mount.recursive)
    yield Step(Operation.MOUNT_SETATTR, (Slot.TREE, "", _BENEATH, attributes, 0, 0))
    yield _attach(mount.target)


@steps.register
def _tmpfs(mount: TmpfsMount, number: int) -> Iterator[Step]:
    attributes = _NOSUID | _NODEV | (_NOEXEC if mount.noexec else MountAttribute(0))
    yield from new_tmpfs(Slot.TREE, mode=mount.mode, size=mount.size, attributes=attributes)
    yield _attach(mount.target)


@steps.register
def _proc(mount: ProcMount, number: int) -> Iterator[Step]:
    yield from new_mount("proc", Slot.TREE, {}, _NOSUID | _NODEV | _NOEXEC)
    yield _attach(mount.target)
    for name in MASKED:
        if os.path.lexists(f"/proc/{name}"):
            yield from _mask(f"{mount.target}/{name}", folder=os.path.isdir(f"/proc/{name}"))
    for name in READONLY:
        if os.path.lexists(f"/proc/{name}"):
            yield from _make_readonly(f"{mount.target}/{name}")


def _mask(path: str, *, folder: bool) -> Iterator[Step]:
    """Hide a folder beneath an empty one, a file beneath /dev/null."""
    if folder:
        yield from new_tmpfs(Slot.TREE, mode=0o555, attributes=_RDONLY)
    else:
        yield clone_tree("/dev/null", recursive=False)
    yield _attach(path)


def _make_readonly(path: str) -> Iterator[Step]:
    flags = AtFlag.OPEN_TREE_CLONE | AtFlag.AT_RECURSIVE
    yield Step(Operation.OPEN_TREE, (Slot.TREE, Slot.ROOT, path.lstrip("/"), flags))
    yield Step(Operation.MOUNT_SETATTR, (Slot.TREE, "", _BENEATH, _RDONLY, 0, 0))
    yield _attach(path)


@steps.register
def _dev(mount: DevMount, number: int) -> Iterator[Step]:
    target = mount.target
    yield from new_tmpfs(Slot.TREE, mode=0o755, attributes=_NOSUID | _NOEXEC)
    yield _attach(target)
    for name in DEVICES:
        yield point(_inside(target, name), folder=False)
        yield clone_tree(f"/dev/{name}", recursive=False)
        yield _attach(f"{target}/{name}")
    for name, link in DEVICE_LINKS.items():
        yield Step(Operation.SYMLINKAT, (link, Slot.ROOT, _inside(target, name)))
    yield point(_inside(target, "pts"), folder=True)
    options = {"mode": "0620", "ptmxmode": "0666"}
    yield from new_mount("devpts", Slot.TREE, options, _NOSUID | _NOEXEC)
    yield _attach(f"{target}/pts")
    yield point(_inside(target, "shm"), folder=True)
    yield from new_tmpfs(Slot.TREE, mode=0o1777, attributes=_NOSUID | _NODEV | _NOEXEC)
    yield _attach(f"{target}/shm")


@steps.register
def _file(mount: FileMount, number: int) -> Iterator[Step]:
    name = str(number)
    yield Step(Operation.OPENAT, (Slot.STAGE, name, mount.mode, mount.content))
    yield Step(Operation.OPEN_TREE, (Slot.TREE, Slot.STAGE, name, AtFlag.OPEN_TREE_CLONE))
    yield _attach(mount.target)


def stage() -> Iterator[Step]:
    """Mount a folder in memory, out of the box's sight, for files to be made in and shown from."""
    yield from new_tmpfs(Slot.STAGE, mode=0o700)
    yield Step(Operation.MOVE_MOUNT, (Slot.STAGE, Slot.CWD, "/"))


def new_tmpfs(
    into: Slot,
    *,
    mode: int,
    size: int | None = None,
    attributes: MountAttribute = _NOSUID | _NODEV,
) -> Iterator[Step]:
    """Make a file system in memory. See tmpfs(5)."""
    options = {"mode": f"{mode:o}"} | ({} if size is None else {"size": str(size)})
    yield from new_mount("tmpfs", into, options, attributes)


def new_mount(
    fs_type: str, into: Slot, options: dict[str, str], attributes: MountAttribute
) -> Iterator[Step]:
    """Make a file system that is not attached anywhere yet. See fsopen(2), fsmount(2)."""
    set_string, create = ConfigCommand.FSCONFIG_SET_STRING, ConfigCommand.FSCONFIG_CMD_CREATE
    yield Step(Operation.FSOPEN, (Slot.CONTEXT, fs_type))
    for key, value in options.items():
        yield Step(Operation.FSCONFIG, (Slot.CONTEXT, set_string, key, value))
    yield Step(Operation.FSCONFIG, (Slot.CONTEXT, create, "", ""))
    yield Step(Operation.FSMOUNT, (into, Slot.CONTEXT, attributes))


def _attach(target: str) -> Step:
    return Step(Operation.MOVE_MOUNT, (Slot.TREE, Slot.ROOT, target.lstrip("/")))


def _inside(target: str, name: str) -> str:
    return f"{target.lstrip('/')}/{name}"
