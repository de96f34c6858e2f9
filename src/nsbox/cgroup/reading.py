"""The figures and limits of a group, read from whichever hierarchies it is in."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from nsbox.cgroup import controllers, files, pressure
from nsbox.cgroup.controllers import CONTROLLERS, Read
from nsbox.cgroup.controllers.hugetlb import HugetlbStats
from nsbox.cgroup.controllers.memory import MemoryStats
from nsbox.cgroup.controllers.pids import PidsStats
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.cgroup.resources import Resources
from nsbox.cgroup.stats import Stats
from nsbox.frozen import FrozenMap

COUNTING = {one.NAMES[2]: one for one in CONTROLLERS if hasattr(one, "COUNTED")}
"""The controllers that count something, by the names of their figures."""

PRESSURE = "pressure"
PARTS = (*COUNTING, PRESSURE)


@attrs.frozen
class Folders:
    """The folders of a group: those of v1 by subsystem, and v2's."""

    v1: Mapping[str, str]
    v2: str | None
    subsystems: frozenset[str]

    @classmethod
    def of(cls, folders: Mapping[Hierarchy, str], subsystems: frozenset[str]) -> "Folders":
        """Sort the folders that a group has in each hierarchy."""
        v1 = {
            name: folder
            for hierarchy, folder in folders.items()
            if hierarchy.version == 1
            for name in hierarchy.subsystems
        }
        v2 = next((folder for one, folder in folders.items() if one.version == 2), None)
        return cls(v1, v2, subsystems)

    def readers(self) -> "Readers":
        """Return readers of its files, each opened when it is read."""
        return Readers(self._read_v1, self._read_v2, self.subsystems)

    def path_v1(self, file: str) -> str | None:
        """Find the folder of a v1 file by the subsystem that its name begins with."""
        folder = self.v1.get(file.partition(".")[0])
        return None if folder is None else f"{folder}/{file}"

    def path_v2(self, file: str) -> str | None:
        """Return the path of a v2 file."""
        return None if self.v2 is None else f"{self.v2}/{file}"

    def _read_v1(self, file: str) -> str | None:
        path = self.path_v1(file)
        return None if path is None else files.read(path)

    def _read_v2(self, file: str) -> str | None:
        path = self.path_v2(file)
        return None if path is None else files.read(path)


@attrs.frozen
class Readers:
    """How to read the files of a group, v1's and v2's."""

    v1: Read
    v2: Read
    subsystems: frozenset[str]

    def has(self, name: str, version: int) -> bool:
        """Whether a file of that subsystem may be there: v2 counts CPU time in every group."""
        return name in self.subsystems or (name == "cpu" and version == 2)


class Counted(NamedTuple):
    """A file with figures: what part of `Stats` they are, the file's version and name."""

    part: str
    version: int
    file: str


def counted(of: Folders, wanted: tuple[str, ...]) -> tuple[Counted, ...]:
    """Return the files with the figures of a group, as far as they are of the parts wanted."""
    return _counted(tuple(of.v1), of.v2 is not None, of.subsystems, wanted)


def paths(of: Folders, files: Iterable[Counted]) -> list[str]:
    """Return the paths of such files."""
    found = (of.path_v1(one.file) if one.version == 1 else of.path_v2(one.file) for one in files)
    return [path for path in found if path is not None]


@functools.lru_cache(maxsize=64)  # it is the same for all groups of a kind
def _counted(
    v1: tuple[str, ...], v2: bool, subsystems: frozenset[str], wanted: tuple[str, ...]
) -> tuple[Counted, ...]:
    of = Folders(dict.fromkeys(v1, ""), "" if v2 else None, subsystems)
    found: list[Counted] = []
    for part in PARTS:
        if part == PRESSURE and part in wanted:
            found += [Counted(part, 2, file) for file in pressure.FILES if v2]
        elif part in wanted:
            found += _of_controller(of, part)
    return tuple(found)


def _of_controller(of: Folders, part: str) -> list[Counted]:
    """List the files of v1 and, if the decisive one is not among them, of v2."""
    found: list[Counted] = []
    readers = of.readers()
    for version, path_of in ((1, of.path_v1), (2, of.path_v2)):
        if readers.has(COUNTING[part].NAMES[version], version):
            files = controllers.counted(COUNTING[part], version)
            there = [Counted(part, version, file) for file in files if path_of(file) is not None]
            found += there
            if there and there[0].file == files[0]:
                break
    return found


def part(of: Readers, name: str) -> Any:
    """Decode the figures of that name, None where the group does not tell them."""
    if name == PRESSURE:
        return pressure.read_all(of.v2)
    controller = COUNTING[name]
    for version, read in ((1, of.v1), (2, of.v2)):
        if of.has(controller.NAMES[version], version):
            found = controllers.figures(controller, version, read)
            if found is not None:
                return found
    return None


def parts(of: Readers, names: Iterable[str]) -> dict[str, Any]:
    """Decode the figures of these names, as far as the group tells them."""
    found = {name: part(of, name) for name in names}
    return {name: figures for name, figures in found.items() if figures is not None}


def resources(of: Readers) -> Resources:
    """Read the limits of a group; a field is None where the group has no such file."""
    found: dict[str, Any] = {}
    for controller in CONTROLLERS:
        for version, read in ((1, of.v1), (2, of.v2)):
            if controller.NAMES[version] in of.subsystems:
                values = controllers.read_back(controller, version, read)
                found.update({field: v for field, v in values.items() if v is not None})
    return Resources(**found)


def with_below(found: Stats, below: Iterable[Readers]) -> Stats:
    """Add what v1 counts for each group alone: OOM kills and limits met in the groups below."""
    parts: dict[str, Any] = dict(found.parts)
    for one in below:
        for name, added in _OWN_ON_V1.items():
            figures = controllers.figures(COUNTING[name], 1, one.v1) if name in parts else None
            if figures is not None:
                parts[name] = added(parts[name], figures)
    return Stats(FrozenMap(parts))


def _memory(one: MemoryStats, other: MemoryStats) -> MemoryStats:
    return attrs.evolve(
        one,
        oom_kills=_plus(one.oom_kills, other.oom_kills),
        max_hits=_plus(one.max_hits, other.max_hits),
    )


def _pids(one: PidsStats, other: PidsStats) -> PidsStats:
    return attrs.evolve(one, max_hits=_plus(one.max_hits, other.max_hits))


def _hugetlb(one: HugetlbStats, other: HugetlbStats) -> HugetlbStats:
    sizes = dict(one.sizes)
    for size in sizes.keys() & other.sizes.keys():
        hits = _plus(sizes[size].max_hits, other.sizes[size].max_hits)
        sizes[size] = attrs.evolve(sizes[size], max_hits=hits)
    return HugetlbStats(sizes=FrozenMap(sizes))


_OWN_ON_V1: dict[str, Callable[[Any, Any], Any]] = {
    "memory": _memory,
    "pids": _pids,
    "hugetlb": _hugetlb,
}


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
