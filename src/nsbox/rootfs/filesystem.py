"""New file systems, made and mounted by descriptor. See fsopen(2), fsconfig(2), fsmount(2)."""

from collections.abc import Iterator, Mapping

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, ConfigCommand, MountAttribute, Propagation
from nsbox.plan import Slot, Step

NOSUID = MountAttribute.MOUNT_ATTR_NOSUID
NODEV = MountAttribute.MOUNT_ATTR_NODEV
NOEXEC = MountAttribute.MOUNT_ATTR_NOEXEC
RDONLY = MountAttribute.MOUNT_ATTR_RDONLY
NOTHING = MountAttribute(0)

PRIVATE = Step(
    Operation.MOUNT_SETATTR,
    (Slot.CWD, "/", AtFlag.AT_RECURSIVE, 0, 0, Propagation.MS_PRIVATE),
)
"""Nothing that is mounted from here on reaches the host, or the host's later mounts us."""

Options = Mapping[str, str | None]
"""Parameters of a file system; None for one that is a flag."""


def new_mount(
    fs_type: str, into: Slot, options: Options, attributes: MountAttribute
) -> Iterator[Step]:
    """Make a file system that is not attached anywhere yet."""
    yield Step(Operation.FSOPEN, (Slot.CONTEXT, fs_type))
    for key, value in options.items():
        yield configure(key, value)
    yield from create(into, attributes)


def create(into: Slot, attributes: MountAttribute) -> Iterator[Step]:
    """Make the file system that `Slot.CONTEXT` describes."""
    command = ConfigCommand.FSCONFIG_CMD_CREATE
    yield Step(Operation.FSCONFIG, (Slot.CONTEXT, command, "", ""))
    yield Step(Operation.FSMOUNT, (into, Slot.CONTEXT, attributes))


def configure(key: str, value: str | None) -> Step:
    """Set one parameter, or one flag."""
    if value is None:
        command = ConfigCommand.FSCONFIG_SET_FLAG
        return Step(Operation.FSCONFIG, (Slot.CONTEXT, command, key, ""))
    command = ConfigCommand.FSCONFIG_SET_STRING
    return Step(Operation.FSCONFIG, (Slot.CONTEXT, command, key, value))


def attach(tree: Slot, target: str, *, beneath: Slot = Slot.ROOT) -> Step:
    """Attach a mount to its mount point."""
    return Step(Operation.MOVE_MOUNT, (tree, beneath, target.lstrip("/")))


def new_tmpfs(
    into: Slot,
    *,
    mode: int,
    size: int | None = None,
    swap: bool = True,
    attributes: MountAttribute = NOSUID | NODEV,
) -> Iterator[Step]:
    """Make a file system in memory. See tmpfs(5)."""
    options: dict[str, str | None] = {"mode": f"{mode:o}"}
    if size is not None:
        options["size"] = str(size)
    if not swap:
        options["noswap"] = None
    yield from new_mount("tmpfs", into, options, attributes)
