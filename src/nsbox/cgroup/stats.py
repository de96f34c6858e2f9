"""What a group used, as a value: every figure that its subsystems tell."""

from collections.abc import Iterable
from typing import Any, TypeVar

import attrs

from nsbox.cgroup.controllers.cpu import CPUStats
from nsbox.cgroup.controllers.hugetlb import HugetlbStats
from nsbox.cgroup.controllers.io import IOStats
from nsbox.cgroup.controllers.memory import MemoryStats
from nsbox.cgroup.controllers.misc import MiscStats
from nsbox.cgroup.controllers.pids import PidsStats
from nsbox.cgroup.controllers.rdma import RDMAStats
from nsbox.cgroup.pressure import Pressure
from nsbox.display import Displayed
from nsbox.errors import UnsupportedError
from nsbox.frozen import FrozenMap

Part = TypeVar("Part")


@attrs.frozen
class Stats(Displayed):
    """The figures of a group, by subsystem. A value: it says what was, and can be compared.

    A property whose subsystem the group is without raises `UnsupportedError`; `parts` says which
    there are. What a group uses counts for the groups above it too.
    """

    parts: FrozenMap[str, Any] = FrozenMap()

    @property
    def memory(self) -> MemoryStats:
        """Memory and swap, limits met, OOM kills."""
        return self._part("memory", MemoryStats)

    @property
    def cpu(self) -> CPUStats:
        """CPU time and throttling."""
        return self._part("cpu", CPUStats)

    @property
    def pids(self) -> PidsStats:
        """The number of tasks."""
        return self._part("pids", PidsStats)

    @property
    def io(self) -> IOStats:
        """Block devices."""
        return self._part("io", IOStats)

    @property
    def hugetlb(self) -> HugetlbStats:
        """Huge pages."""
        return self._part("hugetlb", HugetlbStats)

    @property
    def rdma(self) -> RDMAStats:
        """RDMA devices."""
        return self._part("rdma", RDMAStats)

    @property
    def misc(self) -> MiscStats:
        """Scalar resources."""
        return self._part("misc", MiscStats)

    @property
    def pressure(self) -> Pressure:
        """Time spent waiting for resources."""
        return self._part("pressure", Pressure)

    def _part(self, name: str, kind: type[Part]) -> Part:
        part = self.parts.get(name)
        if part is None:
            there = ", ".join(self.parts) or "nothing"
            raise UnsupportedError(f"stats: the group tells nothing of {name}, only of {there}")
        assert isinstance(part, kind)
        return part

    @classmethod
    def sum(cls, several: Iterable["Stats"]) -> "Stats":
        """Add up the figures of groups that are not below one another.

        Figures that one of them does not tell are left out of the sum as not told; peaks add up to
        an upper bound of the peak; pressure, which is a share of time, is left out.
        """
        parts: dict[str, Any] = {}
        for one in several:
            for name, part in one.parts.items():
                if name != "pressure":
                    parts[name] = _add(parts[name], part) if name in parts else part
        return cls(FrozenMap(parts))


def _add(one: Any, other: Any) -> Any:
    """Add two figures, mappings of figures, or values made of them."""
    if one is None or other is None:
        return None
    if isinstance(one, FrozenMap):
        keys = {**one, **other}
        return FrozenMap(
            {
                key: _add(one[key], other[key])
                if key in one and key in other
                else one.get(key, other.get(key))
                for key in keys
            }
        )
    if attrs.has(type(one)):
        names = [field.name for field in attrs.fields(type(one))]
        return type(one)(**{name: _add(getattr(one, name), getattr(other, name)) for name in names})
    return one + other
