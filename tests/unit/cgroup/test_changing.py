"""What undoes a change of limits that was refused midway."""

import pytest

from nsbox import IOMax, Resources, UnsupportedError
from nsbox.cgroup import changing
from nsbox.cgroup.finding import Span
from nsbox.cgroup.hierarchy import Hierarchy

NONE = IOMax(rbps="max", wbps="max", riops="max", wiops="max")


def test_what_a_wish_changes_beside_its_fields_is_put_back_too():
    present = Resources(memory_max=64, memory_swap_max=0, cpu_weight=50, cpu_idle=False, pids_max=5)
    assert changing.before(Resources(memory_max=32), present) == Resources(
        memory_max=64, memory_swap_max=0
    )
    assert changing.before(Resources(cpu_idle=True), present) == Resources(
        cpu_weight=50, cpu_idle=False
    )


def test_devices_that_had_no_limit_have_none_again():
    present = Resources(io_max={"8:0": IOMax(rbps=5)})
    wish = Resources(io_max={"8:0": IOMax(rbps=6), "8:16": IOMax(rbps=6)}, io_latency={"8:0": 9})
    assert changing.before(wish, present) == Resources(
        io_max={"8:0": IOMax(rbps=5), "8:16": NONE}, io_latency={"8:0": 0}
    )


def test_a_list_of_v2_that_was_empty_is_so_again(tmp_path):
    hierarchy = Hierarchy(2, str(tmp_path), frozenset({"cpuset", "pids"}), None, "/")
    for file in ("cpuset.cpus", "cpuset.mems"):
        (tmp_path / file).touch()
    spans = {hierarchy: Span(str(tmp_path), frozenset({"cpuset", "pids"}))}
    with pytest.raises(UnsupportedError, match=r"pids\.max"):  # it is not there
        changing.change(spans, Resources(cpuset_cpus={0}, pids_max=5), Resources())
    assert (tmp_path / "cpuset.cpus").read_text() == "\n"
    assert (tmp_path / "cpuset.mems").read_text() == ""


def test_a_partition_that_becomes_invalid_is_refused(tmp_path):
    hierarchy = Hierarchy(2, str(tmp_path), frozenset({"cpuset"}), None, "/")
    file = tmp_path / "cpuset.cpus.partition"
    file.write_text("root invalid (Parent is not a partition root)\n")  # "root" goes over its start
    spans = {hierarchy: Span(str(tmp_path), frozenset({"cpuset"}))}
    with pytest.raises(
        UnsupportedError, match=r"^cpuset_cpus_partition: Parent is not a partition"
    ):
        changing.change(spans, Resources(cpuset_cpus_partition="root"), Resources())
