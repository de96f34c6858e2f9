"""The cpuset controller: cgroup-v2.rst, "Cpuset"; cgroup-v1/cpusets.rst; cpuset(7)."""

from typing import Any

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, refuse, told
from nsbox.cgroup.resources import Resources

PARTITION = "cpuset.cpus.partition"
NAMES = {1: "cpuset", 2: "cpuset"}
FIELDS = ("cpuset_cpus", "cpuset_mems", "cpuset_cpus_partition")


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v2; a partition needs its CPUs first."""
    writes = _lists(wish)
    if wish.cpuset_cpus_partition is not None:
        value = wish.cpuset_cpus_partition
        writes.append(Write(PARTITION, value, "cpuset_cpus_partition"))
    return writes


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v1, which bear the same names."""
    refuse(1, {"cpuset_cpus_partition": wish.cpuset_cpus_partition})
    return _lists(wish)


def _lists(wish: Resources) -> list[Write]:
    writes = []
    if wish.cpuset_cpus is not None:
        writes.append(Write("cpuset.cpus", formats.list_text(wish.cpuset_cpus), "cpuset_cpus"))
    if wish.cpuset_mems is not None:
        writes.append(Write("cpuset.mems", formats.list_text(wish.cpuset_mems), "cpuset_mems"))
    return writes


def as_above(field: str) -> Write:
    """Return the write that empties a list of v2: it is that of the group above then."""
    return Write(field.replace("_", ".", 1), "\n", field)


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`; on v2 an empty list means: as the group above."""
    return {
        **read_v1(read),
        "cpuset_cpus_partition": told(read, PARTITION, _partition),
    }


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`."""
    return {
        "cpuset_cpus": told(read, "cpuset.cpus", formats.number_list) or None,
        "cpuset_mems": told(read, "cpuset.mems", formats.number_list) or None,
    }


def _partition(text: str) -> str:
    """Read the kind; a partition that is invalid, "root invalid (reason)", is none in effect."""
    return "member" if why_invalid(text) else text.removesuffix("\n").partition(" ")[0]


def why_invalid(text: str) -> str | None:
    """Return why the kernel took a partition and yet does not make it one, None where it does."""
    _, invalid, reason = text.removesuffix("\n").partition(" invalid")
    return (reason.strip(" ()") or "no reason is told") if invalid else None
