"""What cgroup v1 alone asks for: Documentation/admin-guide/cgroup-v1/cgroups.rst.

- a thread moves by ``tasks``, a process by ``cgroup.procs``;
- a new cpuset has no CPUs and no memory nodes, and takes no task until it is given some;
- before Linux 5.11 a memory group counts what is below it only if it was told to;
- the time that the cpu subsystem divides is counted by another, cpuacct.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nsbox._native.operations import Operation
from nsbox.cgroup import files
from nsbox.plan import Step

if TYPE_CHECKING:
    from nsbox.cgroup.controllers import Change

JOIN = "tasks"
"""Writing "0" here moves just the writing thread, which costs far less than ``cgroup.procs``."""

THREADS = "tasks"

_COUNTED_BY = {"cpu": "cpuacct"}


def with_counters(subsystems: Iterable[str]) -> frozenset[str]:
    """Add the subsystems that count for others."""
    wanted = frozenset(subsystems)
    return wanted | {_COUNTED_BY[one] for one in wanted if one in _COUNTED_BY}


def make(
    parent: str, folder: str, subsystems: frozenset[str], writes: "Iterable[Change]"
) -> Iterator[Step]:
    """Make a group: its folder, what it must be seeded with, its limits. Looks at the parent."""
    yield Step(Operation.MKDIR, (folder, 0o755))
    writes = tuple(writes)
    for file, value in _seed(parent, subsystems, {write.file for write in writes}):
        yield Step(Operation.WRITE, (f"{folder}/{file}", value.encode()))
    for write in writes:
        yield write.step(folder)


def _seed(parent: str, subsystems: frozenset[str], given: set[str]) -> Iterator[tuple[str, str]]:
    if "memory" in subsystems and files.read(f"{parent}/memory.use_hierarchy") == "0\n":
        yield "memory.use_hierarchy", "1"
    if "cpuset" in subsystems:
        for file in ("cpuset.cpus", "cpuset.mems"):
            seed = (files.read(f"{parent}/{file}") or "").strip()
            if seed and file not in given:
                yield file, seed
