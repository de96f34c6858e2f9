"""A process that keeps its rights, and forks that give them up and become processes of boxes.

What is here is done in the nursery of an executor: see `nsbox.executor.nursery`. Each module that
is loaded there makes each fork dearer: so nothing is, but what it takes to do steps.
"""

import fcntl
import os
import resource
from collections.abc import Mapping, Sequence

from nsbox import _native
from nsbox._native.operations import Operation

ANSWERS = 3
"""The descriptor that a fork has beside the standard ones."""


class NotDone(Exception):  # noqa: N818 - it says what happened
    """A step failed: its `index` among the steps, and its `errno`."""

    def __init__(self, index: int, errno: int) -> None:
        super().__init__(index, errno)
        self.index = index
        self.errno = errno


class Zygote:
    """The process, once it has all that its forks are to have.

    `begetting` are the steps before a fork, by the box's pid namespace; `becoming` are those of
    the fork, by the others. What is given to either has the slots in `slots`, in this order.
    `codes` are the operations as they are numbered there; raises `ValueError` where the package
    that is here numbers them otherwise.
    """

    def __init__(
        self,
        begetting: _native.Encoded,
        becoming: _native.Encoded,
        slots: Sequence[int],
        codes: Mapping[str, int],
    ) -> None:
        if codes != {operation.name: operation.code for operation in Operation}:
            raise ValueError("the installed nsbox is not the one that this process has loaded")
        self._begetting = begetting
        self._becoming = becoming
        self._pid_slot, *self._slots = slots
        _native.first_process()  # now, and not in every fork

    def beget_in(self, pid_namespace: int) -> None:
        """Have children of the process begin in this pid namespace. See pid_namespaces(7).

        It stays where it is itself, and can do so again and again. Raises `NotDone`.
        """
        _do(self._begetting, {self._pid_slot: pid_namespace})

    def become(self, answers: int, namespaces: Sequence[int]) -> None:
        """In a fork: enter the other namespaces of the box, in the order of the steps, and do them.

        No descriptor is left but the standard ones and `answers`, as `ANSWERS`. Raises `NotDone`;
        the fork is neither here nor there then, and must end. Raises `OSError`, with `answers` as
        it was, where it may not have that many.
        """
        # Out of the way of those that stay, and no further: their number has a limit.
        least = ANSWERS + 1
        apart = [
            fd if fd >= least else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
            for fd in namespaces
        ]
        os.dup2(answers, ANSWERS, inheritable=False)
        close_from(ANSWERS + 1, apart)
        _do(self._becoming, dict(zip(self._slots, apart, strict=True)))
        _native.first_process.cache_clear()


def _do(plan: _native.Encoded, by_slot: Mapping[int, int]) -> None:
    """Have the calling thread do steps."""
    given = [by_slot.get(slot, -1) for slot in range(max(by_slot) + 1)]
    outcome = _native.launch(plan, (), (), given, tell_of_exec=False).outcome
    if outcome.error:
        raise NotDone(outcome.step, outcome.error)


def close_from(first: int, kept: Sequence[int] = ()) -> None:
    """Close all descriptors from a number on: by one of a folder, a box would not be closed."""
    for fd in [*sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]:
        if first < fd:
            os.closerange(first, fd)
        first = fd + 1
