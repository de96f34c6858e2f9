"""The steps of a root by mount(2), where the younger calls are missing.

Each step of the younger calls is put into words of the older one, so that all else that lowers a
root knows only one of them. What the younger calls leave unattached until it has its place is on
the bench until then: a folder and a file in the stage, which the root covers in the end.
"""

from collections.abc import Iterable, Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, ConfigCommand
from nsbox.errors import UnsupportedError
from nsbox.plan import Slot, Step
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.tree import point

_NEEDS = "takes the mount calls of Linux 5.12, which this kernel lacks or a seccomp filter keeps"
_MOST = 4095
"""Bytes of parameters that mount(2) takes: a page."""

_SAME = {
    Operation.MOUNT_SETATTR: Operation.REMOUNT,
    Operation.MOVE_MOUNT: Operation.MOVE,
}


def check(layout: Layout) -> None:
    """Raise `UnsupportedError` for what mount(2) cannot do in peace.

    What is mounted on the host itself would be seen there while it is on the bench, and so would
    what is still a peer of the host's.
    """
    if not layout.site.own_mounts:
        raise UnsupportedError(f"path: to mount on the host {_NEEDS}")
    if layout.held():
        raise UnsupportedError(f"propagation: a mount that is not private {_NEEDS}")
    if layout.idmaps():
        raise UnsupportedError(f"idmap: {_NEEDS}")


def by_mount(steps: Iterable[Step]) -> Iterator[Step]:
    """Put steps into words of mount(2); others stay as they are."""
    wanted = _FileSystem("")
    for step in steps:
        match step.operation, step.arguments:
            case Operation.FSOPEN, (_, str() as fs_type):
                wanted = _FileSystem(fs_type)
            case Operation.FSCONFIG, (_, command, str() as key, str() as value):
                if command != ConfigCommand.FSCONFIG_CMD_CREATE:
                    wanted.configure(key, value)
            case Operation.FSMOUNT, (Slot.STAGE, _, int() as flags):
                yield wanted.mount(Slot.STAGE, Slot.CWD, "/", flags)
                yield point(Slot.STAGE, "folder", folder=True)
                yield point(Slot.STAGE, "file", folder=False)
            case Operation.FSMOUNT, (int() as into, _, int() as flags):
                yield wanted.mount(into, Slot.STAGE, "folder", flags)
            case Operation.MOVE_MOUNT, (Slot.STAGE, *_):
                pass  # it is in its place
            case _:
                yield _put(step)


def _put(step: Step) -> Step:
    """Put a step that stands for itself."""
    match step.operation, step.arguments:
        case Operation.OPEN_TREE, (into, dir_, path, int() as flags):
            if not flags & AtFlag.OPEN_TREE_CLONE:
                return Step(Operation.OPEN_PATH, (into, dir_, path))
            recursive = AtFlag(flags) & AtFlag.AT_RECURSIVE
            return Step(Operation.BIND, (into, dir_, path, Slot.STAGE, recursive))
        case Operation.OPEN_DEVICE, (into, dir_, path, *device):
            return Step(Operation.BIND_DEVICE, (into, dir_, path, Slot.STAGE, *device))
        case Operation.MASK, (_, dir_, path):
            return Step(Operation.MASK_BY_MOUNT, (dir_, path, Slot.STAGE))
    return Step(_SAME.get(step.operation, step.operation), step.arguments)


class _FileSystem:
    """A file system in the making: its type, and its parameters as mount(2) wants them."""

    def __init__(self, fs_type: str) -> None:
        self._type = fs_type
        self._options: list[str] = []
        self._lowers: list[str] = []

    def configure(self, key: str, value: str) -> None:
        """Set a parameter, or a flag; add a layer to those below."""
        if key == "lowerdir+":
            self._lowers.append(value)
        elif key != "source":
            self._options.append(f"{key}={value}" if value else key)

    def mount(self, into: int, dir_: int, path: str, flags: int) -> Step:
        """Mount it. Raises `UnsupportedError` where its parameters are too many."""
        lowers = [f"lowerdir={':'.join(self._lowers)}"] if self._lowers else []
        options = ",".join([*lowers, *self._options])
        if len(options) > _MOST:
            raise UnsupportedError(f"lowers: so many layers: {_NEEDS}")
        return Step(Operation.MOUNT, (into, self._type, dir_, path, flags, options))
