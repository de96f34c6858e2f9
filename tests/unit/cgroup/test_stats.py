"""Figures as values, and their sums."""

import pickle

import pytest

from nsbox import Stats, UnsupportedError
from nsbox.cgroup import reading
from nsbox.cgroup.controllers import hugetlb
from nsbox.cgroup.controllers.cpu import CPUStats
from nsbox.cgroup.controllers.hugetlb import HugePagesStats, HugetlbStats
from nsbox.cgroup.controllers.io import DeviceStats, IOStats
from nsbox.cgroup.controllers.memory import MemoryStats
from nsbox.cgroup.controllers.pids import PidsStats
from nsbox.cgroup.pressure import Pressure
from nsbox.frozen import FrozenMap

ONE = Stats(
    FrozenMap(
        {
            "memory": MemoryStats(current=5, peak=9, oom_kills=1, stat=FrozenMap({"anon": 3})),
            "cpu": CPUStats(usage_usec=2_000_000, user_usec=1, system_usec=2, nr_periods=7),
            "io": IOStats(devices=FrozenMap({"8:0": DeviceStats(rbytes=4)})),
            "pressure": Pressure(),
        }
    )
)
OTHER = Stats(
    FrozenMap(
        {
            "memory": MemoryStats(current=6, peak=1, oom_kills=2, stat=FrozenMap({"file": 2})),
            "cpu": CPUStats(usage_usec=1, user_usec=1, system_usec=1),
            "io": IOStats(
                devices=FrozenMap({"8:0": DeviceStats(rbytes=1), "8:1": DeviceStats(wios=2)})
            ),
        }
    )
)


def test_stats_are_values():
    assert pickle.loads(pickle.dumps(ONE)) == ONE
    assert len({ONE, Stats(ONE.parts), OTHER}) == 2
    assert ONE.cpu.usage_seconds == 2.0
    assert ONE.memory.anon == 3
    assert ONE.memory.file is None


def test_a_part_that_is_missing_says_what_there_is():
    with pytest.raises(UnsupportedError, match="nothing of pids, only of memory, cpu, io"):
        _ = ONE.pids


def test_what_v1_counts_for_each_group_alone_is_added_up_for_a_tree():
    pids = Stats(FrozenMap({"pids": PidsStats(current=3, max_hits=1)}))  # no memory
    files = {"pids.current": "1\n", "pids.events": "max 4\n"}
    below = reading.Readers(files.get, {}.get, frozenset({"pids"}))
    assert reading.with_below(pids, [below, below]).pids == PidsStats(current=3, max_hits=9)
    (size, *_) = hugetlb.page_sizes() or pytest.skip("needs huge pages")
    files = {f"hugetlb.{size}.usage_in_bytes": "0\n", f"hugetlb.{size}.failcnt": "2\n"}
    one = HugetlbStats(sizes=FrozenMap({size: HugePagesStats(current=0, max_hits=5)}))
    below = reading.Readers(files.get, {}.get, frozenset({"hugetlb"}))
    both = reading.with_below(Stats(FrozenMap({"hugetlb": one})), [below])
    assert both.hugetlb.sizes[size].max_hits == 7


def test_sums():
    both = Stats.sum([ONE, OTHER])
    assert (both.memory.current, both.memory.peak, both.memory.oom_kills) == (11, 10, 3)
    assert dict(both.memory.stat) == {"anon": 3, "file": 2}
    assert both.cpu.nr_periods is None  # one does not tell, so nobody knows
    assert both.io.devices["8:0"].rbytes == 5
    assert both.io.total == DeviceStats(rbytes=5, wios=2)
    assert "pressure" not in both.parts
    assert Stats.sum([ONE]).memory == ONE.memory
    assert Stats.sum([]) == Stats()
