"""The memory controller: cgroup-v2.rst, "Memory"; cgroup-v1/memory.rst."""

import functools
from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, flat, refuse, single, told
from nsbox.cgroup.formats import Limit
from nsbox.cgroup.resources import Resources
from nsbox.errors import UnsupportedError
from nsbox.frozen import FrozenMap

NAMES = {1: "memory", 2: "memory"}
FIELDS = (
    "memory_min",
    "memory_low",
    "memory_high",
    "memory_max",
    "memory_swap_max",
    "memory_oom_group",
)

COUNTED = {
    1: (
        "memory.usage_in_bytes",
        "memory.memsw.usage_in_bytes",
        "memory.stat",
        "memory.max_usage_in_bytes",
        "memory.oom_control",
        "memory.failcnt",
        "memory.memsw.failcnt",
    ),
    2: (
        "memory.current",
        "memory.events",
        "memory.peak",
        "memory.swap.current",
        "memory.swap.peak",
        "memory.stat",
    ),
}


@attrs.frozen(kw_only=True)
class MemoryStats:
    """Memory, in bytes, and how often limits were met; None where this host does not tell.

    - `current`, `peak`: all memory charged, now and at most.
    - `swap_current`, `swap_peak`: swap used, now and at most.
    - `ooms`: how often the limit was met and nothing could be reclaimed.
    - `oom_kills`: tasks that the OOM killer ended.
    - `max_hits`, `high_hits`, `low_hits`: how often those limits were met.
    - `stat`: the whole of ``memory.stat`` under the kernel's keys; on v1 those that count the
      groups below too, without their ``total_``.

    On v2 the counts include the groups below; on v1 `oom_kills` and `max_hits` do not.
    """

    current: int
    peak: int | None = None
    swap_current: int | None = None
    swap_peak: int | None = None
    ooms: int | None = None
    oom_kills: int | None = None
    oom_group_kills: int | None = None
    max_hits: int | None = None
    high_hits: int | None = None
    low_hits: int | None = None
    stat: FrozenMap[str, int] = FrozenMap()

    @property
    def anon(self) -> int | None:
        """Bytes of anonymous memory."""
        return self.stat.get("anon", self.stat.get("rss"))

    @property
    def file(self) -> int | None:
        """Bytes of the page cache, tmpfs and shared memory included."""
        return self.stat.get("file", self.stat.get("cache"))


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v2. Swap goes first: a lower ``memory.max`` swaps out at once."""
    amounts = {
        "memory.oom.group": ("memory_oom_group", wish.memory_oom_group),
        "memory.swap.max": ("memory_swap_max", wish.memory_swap_max),
        "memory.min": ("memory_min", wish.memory_min),
        "memory.low": ("memory_low", wish.memory_low),
        "memory.high": ("memory_high", wish.memory_high),
        "memory.max": ("memory_max", wish.memory_max),
    }
    return [
        Write(file, str(int(value) if isinstance(value, bool) else value), field)
        for file, (field, value) in amounts.items()
        if value is not None
    ]


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v1, which limits memory, and memory and swap together.

    The kernel keeps the first at or below the second at every moment, which decides the order.
    """
    refuse(
        1,
        {
            "memory_min": wish.memory_min,
            "memory_low": wish.memory_low,
            "memory_high": wish.memory_high,
            "memory_oom_group": wish.memory_oom_group,
        },
    )
    limit, writes = wish.memory_max, []
    if limit is not None:
        writes.append(Write("memory.limit_in_bytes", _number(limit), "memory_max"))
    both = _both(wish, present)
    if both is not None:
        before = _sum(present.memory_max, present.memory_swap_max)
        raised = before != "max" and (limit == "max" or (limit or 0) > before)
        together = Write("memory.memsw.limit_in_bytes", _number(both), "memory_swap_max")
        writes.insert(0 if raised else len(writes), together)
    return writes


def _both(wish: Resources, present: Resources) -> Limit | None:
    """Memory and swap together; a limit of swap stays what it is when that of memory changes."""
    limit = present.memory_max if wish.memory_max is None else wish.memory_max
    swap = wish.memory_swap_max
    if swap is None:
        if wish.memory_max is None or present.memory_swap_max in (None, "max"):
            return None
        swap = present.memory_swap_max
    if swap != "max" and limit in (None, "max"):
        other = "a memory_max" if wish.memory_swap_max is not None else "memory_swap_max='max'"
        raise UnsupportedError(
            f"memory_swap_max: cgroup v1 limits swap only together with memory: give {other} too"
        )
    return _sum(limit, swap)


def _sum(limit: Limit | None, swap: Limit | None) -> Limit:
    if isinstance(limit, int) and isinstance(swap, int):
        return limit + swap
    return "max"


def _number(amount: Limit) -> str:
    return "-1" if amount == "max" else str(amount)


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`."""
    return {
        "memory_min": told(read, "memory.min", formats.limit),
        "memory_low": told(read, "memory.low", formats.limit),
        "memory_high": told(read, "memory.high", formats.limit),
        "memory_max": told(read, "memory.max", formats.limit),
        "memory_swap_max": told(read, "memory.swap.max", formats.limit),
        "memory_oom_group": told(read, "memory.oom.group", formats.flag),
    }


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`; the limit of swap is what the two files differ by."""
    limit = told(read, "memory.limit_in_bytes", formats.limit)
    both = told(read, "memory.memsw.limit_in_bytes", formats.limit)
    swap = both
    if isinstance(both, int) and isinstance(limit, int):
        swap = max(both - limit, 0)
    return {"memory_max": limit, "memory_swap_max": swap}


def stats_v2(read: Read) -> MemoryStats | None:
    """Read ``memory.*``."""
    current = single(read, "memory.current")
    if current is None:
        return None
    events = flat(read, "memory.events") or {}
    return MemoryStats(
        current=current,
        peak=single(read, "memory.peak"),
        swap_current=single(read, "memory.swap.current"),
        swap_peak=single(read, "memory.swap.peak"),
        ooms=events.get("oom"),
        oom_kills=events.get("oom_kill"),
        oom_group_kills=events.get("oom_group_kill"),
        max_hits=events.get("max"),
        high_hits=events.get("high"),
        low_hits=events.get("low"),
        stat=FrozenMap(flat(read, "memory.stat")),
    )


def stats_v1(read: Read) -> MemoryStats | None:
    """Read ``memory.*``; what v1 tells of memory and swap together is taken apart where it can."""
    current = single(read, "memory.usage_in_bytes")
    if current is None:
        return None
    both = single(read, "memory.memsw.usage_in_bytes")
    stat = flat(read, "memory.stat") or {}
    return MemoryStats(
        current=current,
        peak=single(read, "memory.max_usage_in_bytes"),
        swap_current=None if both is None else stat.get("total_swap", max(both - current, 0)),
        oom_kills=(flat(read, "memory.oom_control") or {}).get("oom_kill"),
        max_hits=_hits(read),
        stat=FrozenMap({short: stat[key] for key, short in _totals(tuple(stat))}),
    )


@functools.lru_cache(maxsize=8)  # a kernel has one or two such lists, and they are long
def _totals(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((key, key.removeprefix("total_")) for key in keys if key.startswith("total_"))


def _hits(read: Read) -> int | None:
    """Count both limits of v1: where swap is limited, that of memory and swap is met first."""
    counts = (
        single(read, "memory.failcnt"),
        single(read, "memory.memsw.failcnt"),
    )
    found = [count for count in counts if count is not None]
    return sum(found) if found else None
