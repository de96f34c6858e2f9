"""What a box has come to, once it has ended: told, and nothing of it left."""

from nsbox._native import Launched
from nsbox._native.values import Told
from nsbox.launch import Own
from nsbox.usage import Usage


def usage(told: Told, wall: float) -> Usage:
    """Return what it cost; `wall` are the seconds that it took."""
    peak = told.peak_bytes if told.group_peak_bytes < 0 else told.group_peak_bytes
    return Usage(
        wall,
        told.user_us / 1e6,
        told.system_us / 1e6,
        None if peak < 0 else peak,
        told.killed == 1,
    )


def clear_away(launched: Launched, told: Told, own: Own) -> None:
    """Remove what is left of a box that has ended: mostly its end has removed all."""
    if own.groups is not None and told.groups_left:
        own.groups.remove()
    if own.works:
        own.remove_works()
    launched.leave()
