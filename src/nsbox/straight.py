"""A command from its start to its end in one call: nothing is written, read or timed meanwhile."""

import os

from nsbox._native import ALL_INHERITED, NOT_BEGUN, Launched
from nsbox._native.values import Told
from nsbox.launch import Command, OutdatedError, Own, Parked


def straight(command: Command, parked: Parked | None) -> Told | None:
    """Run it with the caller's own standard streams; return what it has come to.

    None where its plan does not hold any longer, and nothing was done. Whatever a signal handler
    raises ends it. Raises `OSError` and `StepError` as a start does.
    """
    starter = os.getpid()
    if parked is None:
        own = command.own()
        launched = command.prepared_again(own)
    else:
        own, launched = parked.lent, parked.lend(command.strings, ALL_INHERITED)
    try:
        launched.run()
        while not (told := launched.told).ended:  # a signal came in between
            launched.wait_end(None)
        if told.ended == NOT_BEGUN:
            own.remove()
        elif told.groups_left or own.works:
            own.remove_left(told.groups_left)
        if parked is not None:
            parked.leave()
    except OutdatedError:
        return None
    except BaseException:
        _abandon(command, launched, own, starter)
        raise
    if told.error:
        if told.ended == NOT_BEGUN and command.anew and told.step < command.ready.checks:
            return None
        raise command.failure(told.step, told.error)
    if parked is None:
        command.used.append(launched)
    return told


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
