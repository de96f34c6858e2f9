"""The cpu controller: cgroup-v2.rst, "CPU"; v1: scheduler/sched-bwc.rst, sched-design-CFS.rst."""

import os
from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.amounts import CPU_PERIOD, CPUs
from nsbox.cgroup.controllers._lowering import Read, Write, flat, single, told
from nsbox.cgroup.resources import Resources

NAMES = {1: "cpu", 2: "cpu"}
FIELDS = (
    "cpu_weight",
    "cpu_max",
    "cpu_max_burst",
    "cpu_idle",
    "cpu_uclamp_min",
    "cpu_uclamp_max",
)

COUNTED = {
    1: ("cpuacct.usage", "cpu.stat", "cpuacct.usage_user", "cpuacct.usage_sys", "cpuacct.stat"),
    2: ("cpu.stat",),
}

_WEIGHT, _SHARES = 100, 1024
"""The same share in the words of v2 and of v1; between them the kernel itself converts so."""


@attrs.frozen(kw_only=True)
class CPUStats:
    """CPU time and throttling, in microseconds (`usec`); None where this host does not tell.

    The time includes that of the groups below; throttling is that by the group's own limit.
    See cgroup-v2.rst, "cpu.stat"; cgroup-v1/cpuacct.rst.
    """

    usage_usec: int
    user_usec: int
    system_usec: int
    nr_periods: int | None = None
    nr_throttled: int | None = None
    throttled_usec: int | None = None
    nr_bursts: int | None = None
    burst_usec: int | None = None

    @property
    def usage_seconds(self) -> float:
        """All CPU time, in seconds."""
        return self.usage_usec / 1e6


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v2; quota and burst in the order in which the kernel takes both."""
    writes = []
    if wish.cpu_weight is not None:
        writes.append(Write("cpu.weight", str(wish.cpu_weight), "cpu_weight"))
    if wish.cpu_max is not None:
        quota, period = quota_and_period(wish.cpu_max)
        value = f"{'max' if quota is None else quota} {period}"
        writes.append(Write("cpu.max", value, "cpu_max"))
    if wish.cpu_max_burst is not None:
        _insert_burst(
            writes, Write("cpu.max.burst", str(wish.cpu_max_burst), "cpu_max_burst"), present
        )
    return _with_idle(writes, wish) + _clamps(wish)


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v1, where quota and period are two."""
    writes = []
    if wish.cpu_weight is not None:
        shares = round(wish.cpu_weight * _SHARES / _WEIGHT)
        writes.append(Write("cpu.shares", str(shares), "cpu_weight"))
    if wish.cpu_max is not None:
        writes += _quota_v1(wish.cpu_max, present.cpu_max)
    if wish.cpu_max_burst is not None:
        _insert_burst(
            writes, Write("cpu.cfs_burst_us", str(wish.cpu_max_burst), "cpu_max_burst"), present
        )
    return _with_idle(writes, wish) + _clamps(wish)


def quota_and_period(cpu_max: CPUs) -> tuple[int | None, int]:
    """Return microseconds of CPU time in each period, and the period; None: no limit."""
    if isinstance(cpu_max, tuple):
        return cpu_max
    if isinstance(cpu_max, str):
        return None, CPU_PERIOD
    return round(cpu_max * CPU_PERIOD), CPU_PERIOD


def _quota_v1(cpu_max: CPUs, present: Any) -> list[Write]:
    quota, period = quota_and_period(cpu_max)
    writes = [
        Write("cpu.cfs_period_us", str(period), "cpu_max"),
        Write("cpu.cfs_quota_us", "-1" if quota is None else str(quota), "cpu_max"),
    ]
    if present not in (None, "max") and quota_and_period(present)[1] != period:
        # The old quota in a new period may be more than the group above has: lift it first.
        writes.insert(0, Write("cpu.cfs_quota_us", "-1", "cpu_max"))
    return writes


def _insert_burst(writes: list[Write], burst: Write, present: Resources) -> None:
    """A burst may at no time be above the quota: one that is lowered goes first."""
    lowered = present.cpu_max_burst is not None and int(burst.value) < present.cpu_max_burst
    writes.insert(0 if lowered else len(writes), burst)


def _with_idle(writes: list[Write], wish: Resources) -> list[Write]:
    """An idle group takes no weight: it is idle after the others, or no longer before them."""
    if wish.cpu_idle is None:
        return writes
    idle = [Write("cpu.idle", str(int(wish.cpu_idle)), "cpu_idle")]
    return writes + idle if wish.cpu_idle else idle + writes


def _clamps(wish: Resources) -> list[Write]:
    """These files are the same on both."""
    writes = []
    for field in ("cpu_uclamp_min", "cpu_uclamp_max"):
        value = getattr(wish, field)
        if value is not None:
            text = value if value == "max" else f"{value:.2f}"
            writes.append(Write(field.replace("_", "."), text, field))
    return writes


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`."""
    return {
        "cpu_weight": told(read, "cpu.weight", formats.single) or None,  # 0: the group is idle
        "cpu_max": told(read, "cpu.max", _cpu_max),
        "cpu_max_burst": told(read, "cpu.max.burst", formats.single),
        **_read_idle_and_clamps(read),
    }


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`."""
    shares = told(read, "cpu.shares", formats.single)
    quota = told(read, "cpu.cfs_quota_us", formats.limit)
    period = told(read, "cpu.cfs_period_us", formats.single)
    limited = quota is not None and quota != "max"
    others = _read_idle_and_clamps(read)
    return {
        "cpu_weight": None
        if shares is None or others["cpu_idle"]  # its shares are no weight then
        else min(max(round(shares * _WEIGHT / _SHARES), 1), 10000),
        "cpu_max": (quota, period) if limited else quota,
        "cpu_max_burst": told(read, "cpu.cfs_burst_us", formats.single),
        **others,
    }


def _read_idle_and_clamps(read: Read) -> dict[str, Any]:
    return {
        "cpu_idle": told(read, "cpu.idle", formats.flag),
        "cpu_uclamp_min": told(read, "cpu.uclamp.min", _percent),
        "cpu_uclamp_max": told(read, "cpu.uclamp.max", _percent),
    }


def _cpu_max(text: str) -> "tuple[int, int] | str":
    quota, _, period = text.removesuffix("\n").partition(" ")
    microseconds = formats.single(period)
    return "max" if quota == "max" else (formats.single(quota), microseconds)


def _percent(text: str) -> "float | str":
    value = text.removesuffix("\n")
    return value if value == "max" else formats.percentage(value)


def stats_v2(read: Read) -> CPUStats | None:
    """Read ``cpu.stat``; the three times are there without the controller, too."""
    stat = flat(read, "cpu.stat")
    if stat is None or "usage_usec" not in stat:
        return None
    return CPUStats(
        **{field.name: stat[field.name] for field in attrs.fields(CPUStats) if field.name in stat}
    )


def stats_v1(read: Read) -> CPUStats | None:
    """Read ``cpuacct.*`` for the times and ``cpu.stat``, in nanoseconds, for the throttling."""
    usage = single(read, "cpuacct.usage")
    if usage is None:
        return None
    stat = flat(read, "cpu.stat") or {}
    user = single(read, "cpuacct.usage_user")
    system = single(read, "cpuacct.usage_sys")
    if user is None or system is None:  # before Linux 4.7
        ticks = flat(read, "cpuacct.stat") or {}
        user, system = (
            ticks.get(key, 0) * 10**9 // os.sysconf("SC_CLK_TCK") for key in ("user", "system")
        )
    return CPUStats(
        usage_usec=usage // 1000,
        user_usec=user // 1000,
        system_usec=system // 1000,
        nr_periods=stat.get("nr_periods"),
        nr_throttled=stat.get("nr_throttled"),
        throttled_usec=_microseconds(stat.get("throttled_time")),
        nr_bursts=stat.get("nr_bursts"),
        burst_usec=_microseconds(stat.get("burst_time")),
    )


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // 1000
