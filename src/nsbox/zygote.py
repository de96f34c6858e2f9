"""A process that keeps its rights, and forks that give them up and become processes of boxes.

What is here is done in the nursery of an executor: see `nsbox.executor.nursery`.
"""

import os
import resource
from collections.abc import Sequence

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.perform import perform
from nsbox.plan import Slot, Step

_NEXT_CHILD = Step(Operation.SETNS, (Slot.NS_PID, "the call's box", CloneFlag.CLONE_NEWPID))


def beget_in(pid_namespace: int) -> None:
    """Have children of the calling process begin in this pid namespace. See pid_namespaces(7).

    The process itself stays where it is, and can do so again and again. Raises `StepError`.
    """
    perform([_NEXT_CHILD], {Slot.NS_PID: pid_namespace})


def become(steps: Sequence[Step], namespaces: Sequence[int], kept: int) -> None:
    """Enter the other namespaces of the box, in the order of the steps, and give up all else.

    No descriptor is left but the standard ones and `kept`. Raises `StepError`; the process is then
    neither here nor there, and must end.
    """
    close_others({0, 1, 2, kept, *namespaces})
    slots = [step.arguments[0] for step in steps if step.operation is Operation.SETNS]
    perform(steps, {int(slot): fd for slot, fd in zip(slots, namespaces, strict=True)})  # type: ignore[arg-type]
    for fd in namespaces:
        os.close(fd)


def close_others(kept: set[int]) -> None:
    """Close all descriptors but these: with one of a folder, a box would not be closed."""
    _native.first_process.cache_clear()  # its descriptor is among them
    last = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    first = 0
    for fd in [*sorted(kept), last]:
        if first < fd:
            os.closerange(first, fd)
        first = fd + 1
