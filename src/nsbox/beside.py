"""Namespaces that are made beside the rest of a box: by another process, on another processor.

A network namespace takes the kernel as long as all else that a box is made of together. So a child
of the starter's makes it, and the ipc namespace with it, while groups and mounts are made, and the
box joins them as late as it can: see ``maker.c``. What a box is does not depend on it.
"""

import os
from collections.abc import Iterable, Iterator

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import Capability, CloneFlag
from nsbox.plan import Slot, Step

_BESIDE = CloneFlag.CLONE_NEWNET | CloneFlag.CLONE_NEWIPC

_CLONES = (Operation.CLONE3, Operation.CLONE3_INTO)

_BEFORE = {
    Operation.AWAIT,  # whoever is told then may look for its namespaces
    Operation.COPY_TREE,  # may take long, and the starter hears no signal before it is joined
    Operation.COPY_UP,
    Operation.CAPSET,  # takes the right to join
}
"""They are joined before the first of these, or of what `_is_about_them`."""

_FILE_SYSTEMS = {"sysfs", "mqueue"}
"""Those that show the network namespace, or the ipc namespace, of whoever mounts them."""


def can_be(caller: Caller) -> bool:
    """Whether the caller may join what its child has made, and there is a processor for that child.

    See ptrace(2), PTRACE_MODE_READ_REALCREDS: a caller may have made itself not dumpable.
    """
    needed = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_PTRACE
    return caller.capabilities & needed == needed and len(os.sched_getaffinity(0)) > 1


def rearranged(steps: Iterable[Step]) -> Iterator[Step]:
    """Have what takes long made beside the other steps, where their one clone would make it."""
    listed = list(steps)
    clones = [index for index, step in enumerate(listed) if step.operation in _CLONES]
    flags = listed[clones[0]].arguments[0]
    assert isinstance(flags, CloneFlag)
    if len(clones) > 1 or flags & CloneFlag.CLONE_NEWUSER or not flags & CloneFlag.CLONE_NEWNET:
        yield from listed
        return
    (clone,) = clones
    beside = flags & _BESIDE
    join = next(index for index, step in enumerate(listed) if index > clone and _is_late(step))
    yield Step(Operation.UNSHARE_BESIDE, (beside,))
    yield from listed[:clone]
    yield Step(listed[clone].operation, (flags & ~beside, *listed[clone].arguments[1:]))
    yield from _without_loopback(listed[clone + 1 : join])
    yield Step(Operation.SETNS_MADE, (Slot.MAKER, beside))
    yield from _without_loopback(listed[join:])


def _without_loopback(steps: list[Step]) -> Iterator[Step]:
    """Leave out what is done where the network is made."""
    return (step for step in steps if step.operation is not Operation.LOOPBACK_UP)


def _is_late(step: Step) -> bool:
    return step.operation in _BEFORE or _is_about_them(step)


def _is_about_them(step: Step) -> bool:
    match step.operation, step.arguments:
        case Operation.WRITE, (str() as path, *_):
            return path.startswith("/proc/sys/")
        case ((Operation.FSOPEN | Operation.MOUNT), (_, fs_type, *_)):
            return fs_type in _FILE_SYSTEMS
    return False
