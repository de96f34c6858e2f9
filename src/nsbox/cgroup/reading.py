"""The figures and limits of a group, read from whichever hierarchies it is in."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from nsbox.cgroup import controllers, files, pressure
from nsbox.cgroup.controllers import CONTROLLERS, Read
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.cgroup.resources import Resources
from nsbox.cgroup.stats import Stats
from nsbox.frozen import FrozenMap


@attrs.frozen
class Readers:
    """How to read the files of a group: those of v1 by the subsystem in their names, and v2's."""

    v1: Read
    v2: Read
    subsystems: frozenset[str]

    def has(self, name: str, version: int) -> bool:
        """Whether a file of that subsystem may be there: v2 counts CPU time in every group."""
        return name in self.subsystems or (name == "cpu" and version == 2)


def _each_time(folder: str) -> Read:
    return lambda file: files.read(f"{folder}/{file}")


def readers(
    directories: Mapping[Hierarchy, str],
    subsystems: frozenset[str],
    reader: Callable[[str], Read] = _each_time,
) -> Readers:
    """Return readers of a group's files; `reader` says how to read those of a folder."""
    routes = {}
    unified: Read = _nothing
    for hierarchy, folder in directories.items():
        read = reader(folder)
        if hierarchy.version == 2:
            unified = read
        else:
            routes.update(dict.fromkeys(hierarchy.subsystems, read))
    return Readers(_routed(routes), unified, subsystems)


def _nothing(_: str) -> None:
    return None


def _routed(routes: Mapping[str, Read]) -> Read:
    """Find the folder of a v1 file by the subsystem that its name begins with."""
    return lambda file: routes.get(file.partition(".")[0], _nothing)(file)


def stats(of: Readers) -> Stats:
    """Read every figure that the subsystems of a group tell."""
    parts: dict[str, Any] = {}
    for controller in CONTROLLERS:
        for version, read in ((1, of.v1), (2, of.v2)):
            name = controller.NAMES[version]
            if controller.NAMES[2] not in parts and of.has(name, version):
                part = controllers.figures(controller, version, read)
                if part is not None:
                    parts[controller.NAMES[2]] = part
    pressures = pressure.read_all(of.v2)
    if pressures is not None:
        parts["pressure"] = pressures
    return Stats(FrozenMap(parts))


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
    memory = found.parts.get("memory")
    if memory is None:
        return found
    for one in below:
        part = controllers.figures(controllers.memory, 1, one.v1)
        if part is not None:
            memory = attrs.evolve(
                memory,
                oom_kills=_plus(memory.oom_kills, part.oom_kills),
                max_hits=_plus(memory.max_hits, part.max_hits),
            )
    return Stats(found.parts | {"memory": memory})


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
