"""What a box has come to, once it has ended: told, and nothing of it left."""

import os

from nsbox._native import Launched
from nsbox.launch import Own
from nsbox.usage import Usage


def take_down(launched: Launched, own: Own, wall: float) -> tuple[int, Usage]:
    """Return the exit code and what it cost; `wall` are the seconds that it took."""
    outcome = launched.outcome
    code, user, system = launched.ended
    peak, killed = None, False
    if outcome.finished:
        code = _exit_code(outcome.status, code)
        user, system, peak = outcome.user_seconds, outcome.system_seconds, outcome.memory_peak
    if own.groups is not None:
        killed, peak_of_all = launched.group_killed, launched.group_peak
        peak = peak if peak_of_all is None else peak_of_all
    return code, Usage(wall, user, system, peak, killed)


def clear_away(launched: Launched, own: Own) -> None:
    """Remove what is left of a box that has ended: mostly its end has removed all."""
    if own.groups is not None and launched.groups_left:
        own.groups.remove()
    if own.works:
        own.remove_works()
    launched.leave()


def _exit_code(told: int, otherwise: int) -> int:
    try:
        return os.waitstatus_to_exitcode(told)
    except ValueError:  # not told by a first process of ours
        return otherwise
