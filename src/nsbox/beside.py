"""Namespaces that are made beside the rest of a box: by another process, on another processor.

A network namespace takes the kernel about as long as a box's groups and mounts together. So a child
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

_MEANWHILE = {
    Operation.UNSHARE_FILES,
    Operation.WRITE,
    Operation.UNSHARE,
    Operation.DUP2,
    Operation.EXECVEAT,
    Operation.SCHED_SETAFFINITY,
    Operation.SCHED_SETSCHEDULER,
    Operation.SETPRIORITY,
    Operation.IOPRIO_SET,
    Operation.SET_MEMPOLICY,
    Operation.PERSONALITY,
    Operation.NOT_DUMPABLE,
    Operation.SETGROUPS,
    Operation.SETSID,
    Operation.UMASK,
    Operation.SETHOSTNAME,
    Operation.SETDOMAINNAME,
    Operation.SETNS,
    Operation.LOOPBACK_UP,
    Operation.CAPBSET_DROP,
}
"""What is done before they are joined: it takes no time of others', and is not about them.

Whatever looks at a path may be: which file is below /proc/sys or /proc/net depends on the
namespaces of whoever looks, and a link may lead there from anywhere.
"""

_OF_A_ROOT = {
    Operation.OPEN_FOLDER,
    Operation.FSOPEN,
    Operation.FSCONFIG,
    Operation.FSMOUNT,
    Operation.MOUNT_SETATTR,
    Operation.MOVE_MOUNT,
    Operation.OPEN_TREE,
    Operation.MASK,
    Operation.MKDIRAT,
    Operation.MKNODAT,
    Operation.SYMLINKAT,
    Operation.CHDIR,
}
"""The same in a root that has nothing in it but what this package puts there."""


def can_be(caller: Caller) -> bool:
    """Whether the caller may join what its child has made, and there is a processor for that child.

    See ptrace(2), PTRACE_MODE_READ_REALCREDS: a caller may have made itself not dumpable.
    """
    needed = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_PTRACE
    return caller.capabilities & needed == needed and len(os.sched_getaffinity(0)) > 1


def rearranged(steps: Iterable[Step], *, root_is_ours: bool) -> Iterator[Step]:
    """Have what takes long made beside the other steps, where their one clone would make it.

    Where the root has anything in it that its caller has chosen, it is joined before that.
    """
    listed = list(steps)
    clones = [index for index, step in enumerate(listed) if step.operation in _CLONES]
    flags = listed[clones[0]].arguments[0]
    assert isinstance(flags, CloneFlag)
    if len(clones) > 1 or flags & CloneFlag.CLONE_NEWUSER or not flags & CloneFlag.CLONE_NEWNET:
        yield from listed
        return
    (clone,) = clones
    kinds = flags & _BESIDE
    meanwhile = _MEANWHILE | _OF_A_ROOT if root_is_ours else _MEANWHILE
    join = next(i for i in range(clone + 1, len(listed)) if not _is_meanwhile(listed[i], meanwhile))
    yield Step(Operation.UNSHARE_BESIDE, (kinds,))
    yield from listed[:clone]
    yield Step(listed[clone].operation, (flags & ~kinds, *listed[clone].arguments[1:]))
    yield from _without_loopback(listed[clone + 1 : join])
    yield Step(Operation.SETNS_MADE, (Slot.MAKER, kinds))
    yield from _without_loopback(listed[join:])


def _without_loopback(steps: list[Step]) -> Iterator[Step]:
    """Leave out what is done where the network is made."""
    return (step for step in steps if step.operation is not Operation.LOOPBACK_UP)


def _is_meanwhile(step: Step, meanwhile: set[Operation]) -> bool:
    if step.operation is Operation.WRITE:
        return not str(step.path).startswith("/proc/sys/")
    return step.operation in meanwhile
