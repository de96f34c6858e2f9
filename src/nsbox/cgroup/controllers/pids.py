"""The pids controller, the same on both versions: cgroup-v2.rst, "PID"; cgroup-v1/pids.rst."""

from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, flat, single, told
from nsbox.cgroup.resources import Resources

NAMES = {1: "pids", 2: "pids"}
FIELDS = ("pids_max",)
COUNTED = dict.fromkeys((1, 2), ("pids.current", "pids.peak", "pids.events"))


@attrs.frozen(kw_only=True)
class PidsStats:
    """Tasks, now and at most, and how often a fork was refused; None where not told."""

    current: int
    peak: int | None = None
    max_hits: int | None = None


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the one file."""
    if wish.pids_max is None:
        return []
    return [Write("pids.max", str(wish.pids_max), "pids_max")]


v1 = v2


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return {"pids_max": told(read, "pids.max", formats.limit)}


read_v1 = read_v2


def stats_v2(read: Read) -> PidsStats | None:
    """Read ``pids.*``."""
    current = single(read, "pids.current")
    if current is None:
        return None
    return PidsStats(
        current=current,
        peak=single(read, "pids.peak"),
        max_hits=(flat(read, "pids.events") or {}).get("max"),
    )


stats_v1 = stats_v2
