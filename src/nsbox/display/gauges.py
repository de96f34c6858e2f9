"""Usage against limits, in a few words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.cgroup.resources import Resources
    from nsbox.cgroup.stats import Stats


@attrs.frozen
class Gauge:
    """One figure; `share` is how much of its limit that is, None where it has none."""

    name: str
    text: str
    share: float | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def gauges(stats: "Stats", limits: "Resources") -> tuple[Gauge, ...]:
    """Put usage against limits, for the subsystems that there are."""
    return tuple(_gauges(stats, limits))


def _gauges(stats: "Stats", limits: "Resources") -> Iterator[Gauge]:
    memory, cpu, pids = (stats.parts.get(name) for name in ("memory", "cpu", "pids"))
    if memory is not None:
        yield _against("memory", memory.current, limits.memory_max, readable)
        if memory.oom_kills:
            yield Gauge("OOM kills", str(memory.oom_kills))
    if cpu is not None:
        limit = limits.cpu_max
        if isinstance(limit, tuple):
            limit = limit[0] / limit[1]
        most = "" if limit in (None, "max") else f", at most {limit:g} CPUs"
        yield Gauge("cpu", f"{cpu.usage_seconds:.2f} s{most}")
    if pids is not None:
        yield _against("pids", pids.current, limits.pids_max, str)


def _against(name: str, current: int, limit: Any, show: Any) -> Gauge:
    if limit in (None, "max"):
        return Gauge(name, show(current))
    return Gauge(name, f"{show(current)} of {show(limit)}", current / limit if limit else 1.0)
