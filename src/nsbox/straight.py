"""A command from its start to its end in one call: nothing is written, read or timed meanwhile."""

import time

from nsbox.launch import Command, OutdatedError, Parked
from nsbox.outcome import clear_away, take_down
from nsbox.pipes import ALL_INHERITED
from nsbox.usage import Usage


def straight(command: Command, parked: Parked | None) -> tuple[int, Usage]:
    """Run it with the caller's own standard streams; return its exit code and what it cost.

    Whatever a signal handler raises ends it. Raises `OSError` and `StepError` as a start does.
    """
    while (done := _once(command, parked)) is None:
        assert command.anew is not None
        command, parked = command.anew(), None
    return done


def _once(command: Command, parked: Parked | None) -> tuple[int, Usage] | None:
    """Do so, or return None where its plan does not hold any longer, and nothing was done."""
    began = time.monotonic()
    if parked is None:
        own = command.own()
        launched = command.prepared(own, command.joined, ALL_INHERITED)
    else:
        own, launched = parked.lent, parked.lend(command.strings, ALL_INHERITED)
    try:
        launched.run()
        while launched.pid > 0 and not launched.has_ended:  # a signal came in between
            launched.wait_end(None)
    except OutdatedError:
        return None
    except BaseException:
        launched.send_signal(command.end_signal)
        if own.groups is not None:
            own.groups.thaw()
        launched.abandon()
        own.remove()
        raise
    if launched.pid < 0:
        outcome = launched.outcome
        if command.anew is not None and outcome.step < command.ready.checks:
            return None
        own.remove()
        raise command.failure(outcome.step, outcome.error)
    done = take_down(launched, own, time.monotonic() - began)
    clear_away(launched, own)
    if launched.error:
        raise command.failure(launched.outcome.step, launched.error)
    return done
