"""One file per controller, named as the kernel names it: limits lowered, read back, and figures.

Each has `NAMES` (its name on v1 and on v2), `FIELDS` (of `Resources`), `v1` and `v2` (fields to
writes), `read_v1` and `read_v2` (files to fields), and those that count something `COUNTED` (the
files that it is read from, by version), `stats_v1` and `stats_v2`. All are pure: they are given a
function that reads, and give what is to be written.
"""

from types import ModuleType
from typing import Any

from nsbox.cgroup.controllers import (
    cpu,
    cpuset,
    devices,
    hugetlb,
    io,
    memory,
    misc,
    net_cls,
    net_prio,
    pids,
    rdma,
)
from nsbox.cgroup.controllers._lowering import Attach, Change, Read, Write
from nsbox.cgroup.resources import Resources

__all__ = [
    "CONTROLLERS",
    "Attach",
    "Change",
    "Read",
    "Write",
    "counted",
    "figures",
    "lower",
    "needed",
    "read_back",
]

CONTROLLERS: tuple[ModuleType, ...] = (
    cpu,
    cpuset,
    memory,
    io,
    pids,
    hugetlb,
    devices,
    rdma,
    misc,
    net_cls,
    net_prio,
)
"""In the order in which a group is given its limits."""


def needed(wish: Resources) -> tuple[ModuleType, ...]:
    """Return the controllers that have a say in what is wished."""
    given = wish.given
    return tuple(one for one in CONTROLLERS if any(field in given for field in one.FIELDS))


def lower(
    controller: ModuleType, version: int, wish: Resources, present: Resources = Resources()
) -> list[Change]:
    """Lower the fields of one controller to writes, in order; devices on v2 to a program.

    `present` is what the group has: it decides the order in which some limits change. Raises
    `UnsupportedError`, naming the field, for what the version cannot do.
    """
    lowered: list[Change] = (controller.v1 if version == 1 else controller.v2)(wish, present)
    return lowered


def read_back(controller: ModuleType, version: int, read: Read) -> dict[str, Any]:
    """Read the fields of one controller; None for what the group has no file of."""
    found: dict[str, Any] = (controller.read_v1 if version == 1 else controller.read_v2)(read)
    return found


def counted(controller: ModuleType, version: int) -> tuple[str, ...]:
    """Return the files that the figures of one controller are read from, the decisive one first."""
    files: tuple[str, ...] = controller.COUNTED[version]
    if controller is not hugetlb:
        return files
    return tuple(f"hugetlb.{size}.{file}" for size in hugetlb.page_sizes() for file in files)


def figures(controller: ModuleType, version: int, read: Read) -> Any:
    """Read the figures of one controller, None where it counts nothing or is not there."""
    stats = getattr(controller, f"stats_v{version}", None)
    return None if stats is None else stats(read)
