"""Steps that start no command: done by the calling thread itself, or by a child in its stead."""

from collections.abc import Mapping, Sequence

from nsbox import _native, hints
from nsbox._native import Launched
from nsbox.errors import StepError
from nsbox.plan import Slot, Step, encode


def perform(
    steps: Sequence[Step], descriptors: Mapping[int, int] | None = None, *, stays: bool = False
) -> Launched:
    """Carry out steps; those before a `CLONE3` in the calling thread, the others in its child.

    `descriptors` are given to the steps by slot, from `Slot.NS_CGROUP` on. Where the steps end
    with an exec of the first process, that process lives on, and is the caller's to end and wait
    for. With `stays` there are more steps for it to do, which are waited for. Raises `StepError`
    for the step that failed; nothing of the child is left then.
    """
    given = given_descriptors(descriptors or {})
    launched = _native.launch(encode(steps), (), (), given)
    try:
        if stays and launched.pidfd >= 0:
            launched.wait_exec()
        outcome = launched.outcome
        if outcome.error:
            step, hint = steps[outcome.step], hints.hint(steps[outcome.step], outcome.error)
            raise StepError.of(step, outcome.error, outcome.step, box=None, hint=hint)
    except BaseException:
        launched.abandon()
        raise
    return launched


def given_descriptors(by_slot: Mapping[int, int], standard: Sequence[int] = ()) -> list[int]:
    """List descriptors by the number of their slot: 0 to 2, places for C's own, then the others."""
    given = [-1] * (max(by_slot, default=Slot.MAKER) + 1)
    given[: len(standard)] = standard
    for slot, fd in by_slot.items():
        given[slot] = fd
    return given
