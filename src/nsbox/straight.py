"""A command from its start to its end in one call: nothing is written, read or timed meanwhile."""

import os
import subprocess
from typing import Any

from nsbox._native import ALL_INHERITED, NOT_BEGUN, TOLD, Launched
from nsbox._native.values import Told
from nsbox.launch import Command, OutdatedError, Own, Parked
from nsbox.usage import CompletedProcess


def straight(command: Command, args: Any, check: bool) -> CompletedProcess | None:
    """Run it with the caller's own standard streams.

    None where its plan does not hold any longer, and nothing was done. Whatever a signal handler
    raises ends it. Raises `OSError` and `StepError` as a start does, and what `check` asks for.
    """
    launched = command.prepared_again()
    told = None
    try:
        code = launched.run()
        if code == TOLD or command.has_works:
            told = _ended(launched, command.own(launched))
            code = told.code
    except BaseException:
        _abandon(command, launched, command.own(launched))
        raise
    if told is not None and told.error:
        if told.ended == NOT_BEGUN and command.anew and told.step < command.ready.checks:
            return None
        raise command.failure(told.step, told.error)
    figures = launched.figures.copy()
    command.used.append(launched)
    if check and code:
        raise subprocess.CalledProcessError(code, args)
    return CompletedProcess(args, code, None, None, figures)


def straight_in(
    parked: Parked,
    command: Command,
    args: Any,
    check: bool,
) -> CompletedProcess | None:
    """Do that in a box that was made ahead."""
    told = None
    try:
        code = parked.run(command.strings.pointer)
        if code == TOLD:
            told = _ended(parked.lend(command.strings, ALL_INHERITED), parked.lent)
            code = told.code
        parked.leave()
    except OutdatedError:
        return None
    except BaseException:
        _abandon(command, parked.lend(command.strings, ALL_INHERITED), parked.lent)
        raise
    if told is not None and told.error:
        raise command.failure(told.step, told.error)
    if check and code:
        raise subprocess.CalledProcessError(code, args)
    return CompletedProcess(args, code, None, None, parked.launched.figures)


def _ended(launched: Launched, own: Own) -> Told:
    """Return what it has come to, once it has; what C has left of it is removed."""
    while not (told := launched.told).ended:  # it takes longer, or a signal came in between
        launched.wait_end(None)
    if told.ended == NOT_BEGUN:
        own.remove()
    elif told.groups_left or own.works:
        own.remove_left(told.groups_left)
    return told


def _abandon(command: Command, launched: Launched, own: Own) -> None:
    """Give it up, whole, though a second signal's handler raises meanwhile."""
    try:
        _end(command, launched, own)
    except BaseException:
        _end(command, launched, own)
        raise


def _end(command: Command, launched: Launched, own: Own) -> None:
    """End it, if it has not, and leave nothing of it; in a fork of its starter, let go of it."""
    if launched.caller not in (0, os.getpid()):
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
