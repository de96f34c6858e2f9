"""A process that keeps its rights, and forks that give them up and become processes of boxes.

What is here is done in the nursery of an executor: see `nsbox.executor.nursery`.
"""

import fcntl
import os
import resource
from collections.abc import Sequence

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.perform import perform
from nsbox.plan import Slot, Step, encode

ANSWERS = 3
"""The descriptor that a fork has beside the standard ones."""

_NEXT_CHILD = (Step(Operation.SETNS, (Slot.NS_PID, "the call's box", CloneFlag.CLONE_NEWPID)),)
_APART = 64
"""Above all descriptors that must be out of the way."""


class Zygote:
    """The process, once it has all that its forks are to have; `steps` are what each of them does.

    Where these enter a namespace, the place that it is taken from is a slot.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._encoded = encode(steps)
        self._next_child = encode(_NEXT_CHILD)
        entering = [step for step in steps if step.operation is Operation.SETNS]
        self._slots = [int(step.arguments[0]) for step in entering]  # type: ignore[arg-type]
        _native.first_process()  # now, and not in every fork

    def beget_in(self, pid_namespace: int) -> None:
        """Have children of the process begin in this pid namespace. See pid_namespaces(7).

        It stays where it is itself, and can do so again and again. Raises `StepError`.
        """
        perform(_NEXT_CHILD, {Slot.NS_PID: pid_namespace}, encoded=self._next_child)

    def become(self, answers: int, namespaces: Sequence[int]) -> None:
        """In a fork: enter the other namespaces of the box, in the order of the steps, and do them.

        No descriptor is left but the standard ones and `answers`, as `ANSWERS`. Raises `StepError`;
        the fork is neither here nor there then, and must end.
        """
        apart = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _APART) for fd in namespaces]
        os.dup2(answers, ANSWERS, inheritable=False)
        close_from(ANSWERS + 1, apart)
        perform(self._steps, dict(zip(self._slots, apart, strict=True)), encoded=self._encoded)
        close_from(ANSWERS + 1)  # they did it, but for kernels that have no close_range(2)
        _native.first_process.cache_clear()


def close_from(first: int, kept: Sequence[int] = ()) -> None:
    """Close all descriptors from a number on: by one of a folder, a box would not be closed."""
    for fd in [*sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]:
        if first < fd:
            os.closerange(first, fd)
        first = fd + 1
