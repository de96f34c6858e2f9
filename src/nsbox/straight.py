"""A command from its start to its end in one call: nothing is written, read or timed meanwhile."""

import os
import time

from nsbox._native import NOT_BEGUN, Launched
from nsbox.launch import Command, OutdatedError, Own, Parked
from nsbox.outcome import clear_away, usage
from nsbox.pipes import ALL_INHERITED
from nsbox.usage import Usage


def straight(command: Command, parked: Parked | None) -> tuple[int, Usage] | None:
    """Run it with the caller's own standard streams; return its exit code and what it cost.

    None where its plan does not hold any longer, and nothing was done. Whatever a signal handler
    raises ends it. Raises `OSError` and `StepError` as a start does.
    """
    starter, began = os.getpid(), time.monotonic()
    if parked is not None:
        own, launched = parked.lent, parked.lend(command.strings, ALL_INHERITED)
    else:
        own = command.own()
        again = command.prepared_again(own)
        launched = again or command.prepared(own, command.joined, ALL_INHERITED)
    try:
        launched.run()
        while not (told := launched.told).ended:  # a signal came in between
            launched.wait_end(None)
        cost = usage(told, time.monotonic() - began)
        if told.ended == NOT_BEGUN:
            own.remove()
        else:
            clear_away(launched, told, own)
    except OutdatedError:
        return None
    except BaseException:
        _abandon(command, launched, own, starter)
        raise
    if told.ended == NOT_BEGUN and command.anew is not None and told.step < command.ready.checks:
        return None
    if told.error:
        raise command.failure(told.step, told.error)
    if parked is None:
        command.keep(launched)
    return told.code, cost


def _abandon(command: Command, launched: Launched, own: Own, starter: int) -> None:
    """End it, if it has not, and leave nothing of it; in a fork of its starter, let go of it."""
    if os.getpid() != starter:
        launched.abandon()
        return
    try:
        launched.send_signal(command.end_signal)
        if own.groups is not None:
            own.groups.thaw()
    finally:  # whatever else a handler raises
        try:
            launched.abandon()
        finally:
            own.remove()
