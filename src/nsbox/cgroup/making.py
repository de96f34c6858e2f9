"""Where a group is to be, and the steps that make it: in every hierarchy that it needs."""

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

import attrs

from nsbox.cgroup import controllers, delegation, performing, v1, v2
from nsbox.cgroup.controllers import Change, devices
from nsbox.cgroup.hierarchy import UNIFIED, Hierarchy
from nsbox.cgroup.resources import Resources
from nsbox.errors import UnsupportedError
from nsbox.plan import Step

VERSIONS = {1: v1, 2: v2}

_ALIASES = {"io": "blkio", "blkio": "io"}
"""One subsystem, by its names on v2 and v1."""

IN_EVERY_V2_GROUP = frozenset({"cpuacct", "devices", "freezer", "perf_event"})
"""What v1 has subsystems for, and v2 does in every group without being asked."""


@attrs.frozen
class Place:
    """Where a group is to be made in one hierarchy, and the subsystems that it is for there."""

    hierarchy: Hierarchy
    parent: str
    subsystems: frozenset[str]


def homes(
    subsystems: Iterable[str] | None,
    wish: Resources,
    found: Iterable[Hierarchy],
    *,
    counted: bool = True,
) -> dict[Hierarchy, frozenset[str]]:
    """Return the hierarchies that a group needs, and for which of their subsystems.

    These are the subsystems given, those that the limits need and, if `counted`, those that count
    for them.

    Raises `UnsupportedError` for a subsystem that is in no hierarchy here.
    """
    found = tuple(found)
    wanted = {hierarchy: set[str]() for hierarchy in found}
    for name in subsystems or ():
        home, key = _home(name, found)
        wanted[home].add(key)
    for controller in controllers.needed(wish):
        home, key = _home_of(controller, wish, found)
        wanted[home].add(key)
    taken = {hierarchy: frozenset(names) for hierarchy, names in wanted.items() if names}
    # What counts for a subsystem of v1 may have a hierarchy of its own, away from the subsystem's.
    asked = [name for one, names in taken.items() if one.version == 1 for name in names]
    counters = v1.with_counters(asked) if counted else frozenset[str]()
    for hierarchy in found:
        if hierarchy.version == 1 and counters & hierarchy.subsystems:
            taken[hierarchy] = taken.get(hierarchy, frozenset()) | counters & hierarchy.subsystems
    return {hierarchy: taken[hierarchy] for hierarchy in found if hierarchy in taken}


def control(found: Iterable[Hierarchy]) -> Hierarchy | None:
    """Return the hierarchy that stops and ends tasks: v2's, or else the freezer's."""
    found = tuple(found)
    unified = [one for one in found if one.version == 2]
    freezers = [one for one in found if "freezer" in one.subsystems]
    return next(iter(unified + freezers), None)


def places(
    wanted: Mapping[Hierarchy, frozenset[str]],
    bases: Mapping[Hierarchy, str],
    *,
    exact: bool = False,
) -> tuple[Place, ...]:
    """Return where a group is to be made below the groups given, after a look at the rights.

    The groups are the caller's own, of which another may take the place, unless they are `exact`.
    """
    chosen = []
    for hierarchy, names in wanted.items():
        enabled = names & hierarchy.subsystems
        folder = bases[hierarchy]
        if hierarchy.version == 2 and devices.NAMES[2] in names:
            delegation.check_programs()
        if not exact:
            folder = delegation.base(hierarchy, folder, enabled)
        elif hierarchy.version == 2:
            delegation.check_hand_down(folder, enabled)
        chosen.append(Place(hierarchy, folder, names))
    return tuple(chosen)


def own_places(
    subsystems: Iterable[str] | None,
    wish: Resources,
    own: Mapping[Hierarchy, str],
    *,
    controlled: bool = True,
) -> tuple[Place, ...]:
    """Return where a group is to be made for the calling process, below its `own` groups.

    With neither subsystems nor limits it is for all subsystems that the caller may use. The
    hierarchies that stop and end tasks, and that count, are among its places, too, unless it is not
    `controlled`.
    """
    if not own:
        raise UnsupportedError("cgroups: no hierarchy is mounted where the caller's group is seen")
    if subsystems is not None or wish.given:
        wanted = homes(subsystems, wish, own, counted=controlled)
    else:
        wanted = _all(own)
    extra = control(own) if controlled else None
    chosen = places(wanted, own)
    if extra is not None and extra not in wanted and _allows(extra, own[extra]):
        chosen += places({extra: frozenset({"freezer"} & extra.subsystems)}, own)
    if not chosen:
        raise UnsupportedError("cgroups: no hierarchy here lets this caller make groups")
    return chosen


def unchecked_places(
    subsystems: Iterable[str] | None,
    wish: Resources,
    own: Mapping[Hierarchy, str],
    *,
    controlled: bool,
) -> tuple[Place, ...]:
    """Return where a group with these limits would be, whatever the caller's rights.

    None is for control alone: that asks for rights.
    """
    wanted = homes(subsystems, wish, own, counted=controlled)
    return tuple(Place(hierarchy, own[hierarchy], names) for hierarchy, names in wanted.items())


def steps(chosen: Iterable[Place], name: str, wish: Resources) -> Iterator[Step]:
    """Lower to the steps that make a group, with its limits, in all its places.

    Raises `UnsupportedError`, naming the field, for what a version cannot do.
    """
    for place in chosen:
        version = VERSIONS[place.hierarchy.version]
        folder = f"{place.parent}/{name}"
        writes = lowered(place.hierarchy, place.subsystems, wish)
        enabled = place.subsystems & place.hierarchy.subsystems
        yield from version.make(place.parent, folder, enabled, writes)


def lowered(
    hierarchy: Hierarchy,
    subsystems: frozenset[str],
    wish: Resources,
    present: Resources = Resources(),
) -> list[Change]:
    """Lower the limits that belong to one hierarchy."""
    version = hierarchy.version
    return [
        write
        for controller in controllers.needed(wish)
        if controller.NAMES[version] in subsystems
        for write in controllers.lower(controller, version, wish, present)
    ]


def resolve(name: str, found: Iterable[Hierarchy]) -> tuple[Hierarchy, str]:
    """Return the hierarchy of a subsystem and its name there."""
    return _home(name, tuple(found))


def _all(own: Mapping[Hierarchy, str]) -> dict[Hierarchy, frozenset[str]]:
    """Return every subsystem that the caller may use: those of v1, or where it has none, of v2."""
    v1_ones = {
        one: one.subsystems
        for one, folder in own.items()
        if one.version == 1 and one.subsystems and _allows(one, folder)
    }
    if v1_ones:
        return v1_ones
    return {
        one: v2.controllers(delegation.base(one, folder, frozenset())) or frozenset({UNIFIED})
        for one, folder in own.items()
        if one.version == 2
    }


def _home(name: str, found: tuple[Hierarchy, ...]) -> tuple[Hierarchy, str]:
    for key in (name, _ALIASES.get(name)):
        for hierarchy in found:
            if key is not None and key in hierarchy.keys:
                return hierarchy, key
    if name in IN_EVERY_V2_GROUP:
        for hierarchy in found:
            if hierarchy.version == 2:
                return hierarchy, UNIFIED
    there = ", ".join(sorted(key for hierarchy in found for key in hierarchy.keys))
    raise UnsupportedError(f"cgroups: no hierarchy here has {name!r}; there are: {there or 'none'}")


def _home_of(
    controller: ModuleType, wish: Resources, found: tuple[Hierarchy, ...]
) -> tuple[Hierarchy, str]:
    names: Mapping[int, str] = controller.NAMES
    for hierarchy in found:
        if names[hierarchy.version] in hierarchy.subsystems:
            return hierarchy, names[hierarchy.version]
    for hierarchy in found:
        if hierarchy.version == 2 and names[2] in IN_EVERY_V2_GROUP:
            return hierarchy, names[2]
    if all(hierarchy.version == 2 for hierarchy in found):
        controllers.lower(controller, 2, wish)  # says why v2 cannot
    fields = [field for field in controller.FIELDS if field in wish.given]
    raise UnsupportedError(
        f"{fields[0]}: no cgroup hierarchy here has the {names[2]} subsystem; see "
        "/proc/cgroups, and cgroup.controllers of the group above"
    )


def _allows(hierarchy: Hierarchy, folder: str) -> bool:
    try:
        delegation.base(hierarchy, folder, frozenset())
    except UnsupportedError:
        return False
    return True


def make(chosen: tuple[Place, ...], name: str, wish: Resources) -> None:
    """Make a group in all its places, or in none. Raises as `performing.perform` does."""
    planned = tuple(steps(chosen, name, wish))
    fields = {
        write.step(f"{place.parent}/{name}"): write.field
        for place in chosen
        for write in lowered(place.hierarchy, place.subsystems, wish)
    }
    performing.perform(planned, fields.get)
