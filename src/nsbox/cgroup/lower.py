"""`Resources` lowered to steps: groups made by the caller, joined by the child before all else."""

import os
from collections.abc import Iterator

import attrs

from nsbox import procfs
from nsbox._native.operations import Operation
from nsbox.cgroup import v1, v2
from nsbox.cgroup.hierarchy import Hierarchy, hierarchies
from nsbox.cgroup.resources import Resources
from nsbox.errors import UnsupportedError
from nsbox.plan import Step

NUMBER = "########"
"""Stands in a group's name for the number of the box, which each start fills in."""

_VERSIONS = {1: v1, 2: v2}


@attrs.frozen
class Groups:
    """The groups of a box that is to be: their folders, and the steps to make and to join them."""

    folders: tuple[str, ...] = ()
    make: tuple[Step, ...] = ()
    join: tuple[Step, ...] = ()


def lower(resources: Resources) -> Groups:
    """Lower limits for the calling process. Looks at its hierarchies, changes nothing.

    Raises `UnsupportedError` for a limit whose subsystem is in no hierarchy here.
    """
    wanted = _per_hierarchy(resources)
    if not wanted:
        return Groups()
    name = f"nsbox-{owner()}-{NUMBER}"
    folders = {hierarchy: f"{hierarchy.own}/{name}" for hierarchy in wanted}
    make: list[Step] = []
    for hierarchy, writes in wanted.items():
        make += _make(hierarchy, folders[hierarchy], writes)
    join = [
        Step(Operation.WRITE, (f"{folder}/{_VERSIONS[hierarchy.version].JOIN}", b"0"))
        for hierarchy, folder in folders.items()
    ]
    return Groups(tuple(folders.values()), tuple(make), tuple(join))


def owner() -> str:
    """Return the calling process's pid and start time, which together name it for good."""
    with open("/proc/self/stat", encoding="utf-8", errors="surrogateescape") as stat:
        return f"{os.getpid()}-{procfs.parse_stat(stat.read()).starttime}"


def _per_hierarchy(resources: Resources) -> dict[Hierarchy, dict[str, list[tuple[str, str]]]]:
    found = hierarchies() if resources != Resources() else ()
    wanted: dict[Hierarchy, dict[str, list[tuple[str, str]]]] = {}
    for subsystem in v2.writes(resources):
        home = next((h for h in found if subsystem in h.subsystems), None)
        if home is None:
            raise UnsupportedError(
                f"resources: no cgroup hierarchy here has the {subsystem} subsystem for the "
                "caller's group: on cgroup v2 it must be in the cgroup.subtree_control of the "
                "group above (systemd: Delegate=yes)"
            )
        lowered = _VERSIONS[home.version].writes(resources)
        wanted.setdefault(home, {})[subsystem] = lowered[subsystem]
    return wanted


def _make(
    hierarchy: Hierarchy, folder: str, writes: dict[str, list[tuple[str, str]]]
) -> Iterator[Step]:
    if hierarchy.version == 2:
        enabled = " ".join(f"+{subsystem}" for subsystem in writes).encode()
        yield Step(Operation.WRITE, (f"{hierarchy.own}/cgroup.subtree_control", enabled))
    yield Step(Operation.MKDIR, (folder, 0o755))
    for files in writes.values():
        for file, value in files:
            yield Step(Operation.WRITE, (f"{folder}/{file}", value.encode()))
