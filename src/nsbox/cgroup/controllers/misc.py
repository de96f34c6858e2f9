"""The misc controller of scalar resources, the same on both versions: cgroup-v2.rst, "Misc"."""

from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, flat, told
from nsbox.cgroup.resources import Resources
from nsbox.frozen import FrozenMap

NAMES = {1: "misc", 2: "misc"}
FIELDS = ("misc_max",)
COUNTED = dict.fromkeys((1, 2), ("misc.current", "misc.peak", "misc.events"))


@attrs.frozen(kw_only=True)
class MiscStats:
    """By kind of resource: how much is in use, at most was (None: not told), and limits met."""

    current: FrozenMap[str, int] = FrozenMap()
    peak: FrozenMap[str, int] | None = None
    max_hits: FrozenMap[str, int] = FrozenMap()


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the one file, a write for each kind."""
    return [
        Write("misc.max", f"{kind} {value}", "misc_max")
        for kind, value in (wish.misc_max or {}).items()
    ]


v1 = v2


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return {"misc_max": told(read, "misc.max", formats.keyed_limits)}


read_v1 = read_v2


def stats_v2(read: Read) -> MiscStats | None:
    """Read ``misc.*``."""
    current = flat(read, "misc.current")
    if current is None:
        return None
    peak = flat(read, "misc.peak")
    events = flat(read, "misc.events") or {}
    hits = {key.removesuffix(".max"): n for key, n in events.items() if key.endswith(".max")}
    return MiscStats(
        current=FrozenMap(current),
        peak=None if peak is None else FrozenMap(peak),
        max_hits=FrozenMap(hits),
    )


stats_v1 = stats_v2
