"""A container's plan: that of a box whose command is its first process, and waits to be started.

The steps are those of a box and of a command that joins one, with another end: no process of ours
stays above the command. So it is process 1 of its pid namespace, a child of whoever made it, and
lives on when that has ended.
"""

from collections.abc import Iterable, Iterator

from nsbox._native.operations import Operation
from nsbox.constants import Capability, CloneFlag
from nsbox.plan import Slot, Step
from nsbox.security import Seccomp, Security

AWAIT = Step(Operation.AWAIT, (Slot.WORD, Slot.LISTENER))

_NO_REAPER = Step(Operation.CHILD_SUBREAPER, (0,))
"""What a first process is where it is not process 1; it outlives an exec."""


def created(steps: Iterable[Step]) -> Iterator[Step]:
    """Have the process wait twice: before it enters its root, and before it becomes the command."""
    led = False
    for step in steps:
        if step.operation in (Operation.CLONE_VM, Operation.SETPGID):
            continue  # it leads a session, and so its group
        if step.operation is Operation.SETSID:
            if led:
                continue
            led = True
        if step.operation is Operation.SIGNALS or step == Step(Operation.FCHDIR, (Slot.ROOT,)):
            yield AWAIT
        if step.operation is Operation.SIGNALS:
            yield _NO_REAPER
        yield step


def detached(steps: Iterable[Step]) -> Iterator[Step]:
    """Have a command that joins be a child of whoever starts it, in the pid namespace it joins."""
    for step in steps:
        if step.operation is Operation.CLONE_VM:
            yield Step(Operation.CLONE3, (CloneFlag(0),))
        elif step.operation is Operation.SETPGID:
            yield Step(Operation.SETSID)
        elif step.operation is Operation.SIGNALS:
            yield from (_NO_REAPER, step)
        else:
            yield step


def _told(step: Step) -> Step:
    """Have a filter's listener told to whoever has the process go on."""
    if step.operation is not Operation.SECCOMP_NOTIFY:
        return step
    return Step(Operation.SECCOMP_NOTIFY, (step.arguments[0], Slot.WORD))


def filtered(steps: Iterable[Step], seccomp: Seccomp | None, security: Security) -> Iterator[Step]:
    """Load a filter for a command that may gain privileges: that takes CAP_SYS_ADMIN until then.

    All that comes after it is the end of these rights, and the exec. See seccomp(2).
    """
    if seccomp is None:
        yield from map(_told, steps)
        return
    begun = ids = False
    for step in steps:
        match step.operation:
            case Operation.CAPSET:
                begun = True
                if not ids:  # those that changing ids takes, too; what comes after is the last word
                    held = step.arguments[0]
                    assert isinstance(held, Capability)
                    yield Step(Operation.CAPSET, (held | Capability.CAP_SYS_ADMIN,))
            case Operation.SETRESUID if begun and step.arguments[0] != 0:
                ids = True
                yield from (Step(Operation.KEEPCAPS, (1,)), step)
            case Operation.KEEPCAPS | Operation.AMBIENT if begun:
                pass  # as the last word has it
            case Operation.EXECVE:
                kept = security.ambient if ids else security.capabilities
                yield Step(Operation.CAPSET, (kept | Capability.CAP_SYS_ADMIN,))
                if seccomp.handler is not None:
                    yield Step(Operation.SECCOMP_NOTIFY, (seccomp.program(), Slot.WORD))
                else:
                    yield Step(Operation.SECCOMP, (seccomp.program(),))
                yield Step(Operation.CAPSET, (kept,))
                if ids and kept:
                    yield Step(Operation.AMBIENT, (kept,))
                yield step
            case _:
                yield step
