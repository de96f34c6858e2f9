"""`Resources` lowered to steps: groups made by the caller, joined by the child before all else."""

import contextlib
from collections.abc import Iterator, Mapping

import attrs

from nsbox._native import DIGITS
from nsbox._native.operations import Operation
from nsbox.cgroup import v1
from nsbox.cgroup.hierarchy import Hierarchy, own_groups
from nsbox.cgroup.owner import PREFIX, owner
from nsbox.cgroup.resources import Resources
from nsbox.errors import UnsupportedError
from nsbox.plan import Step

NUMBER = "#" * DIGITS
"""Stands in a group's name for the number of the box, which each start fills in."""


@attrs.frozen
class Groups:
    """The groups of a box that is to be, and the steps to make and to join them.

    - `directories`: its folder in each hierarchy.
    - `made`: whether they are the box's own, made by the steps in `make` and gone with it.
    - `join_v1`: the steps of the child to be in those of v1.
    - `into`: the one of them on cgroup v2, for CLONE_INTO_CGROUP.
    """

    directories: tuple[tuple[Hierarchy, str], ...] = ()
    make: tuple[Step, ...] = ()
    join_v1: tuple[Step, ...] = ()
    made: bool = False

    @property
    def into(self) -> str | None:
        """The folder on cgroup v2, if there is one."""
        return next((folder for one, folder in self.directories if one.version == 2), None)


def lower(
    resources: Resources,
    within: Mapping[Hierarchy, str] | None = None,
    *,
    controlled: bool = False,
    checked: bool = True,
) -> Groups:
    """Lower limits for the calling process. Looks at its hierarchies, changes nothing.

    `within` are the folders of a live group: the box joins it or, with limits of its own, is made
    a group below it. With `controlled` the box has a group also in the hierarchies that stop and
    end tasks, and that count for its limits, where those are others: who has a handle of it asks.

    Raises `UnsupportedError` for a limit whose subsystem is in no hierarchy here and, if `checked`,
    where the caller may not make the groups.
    """
    wish = resources.resolved()
    if within is not None and not wish.given:
        return join(within)
    if not wish.given and not controlled:
        return Groups()
    from nsbox.cgroup import making  # noqa: PLC0415 - only limits need the controllers

    if within is None:
        own = own_groups()
        places = making.own_places if checked else making.unchecked_places
        chosen = places((), wish, own, controlled=controlled)
    else:  # the box is in the whole of the group that it is below
        wanted = making.homes((), wish, within)
        wanted = {hierarchy: wanted.get(hierarchy, frozenset()) for hierarchy in within}
        chosen = making.places(wanted, within, exact=True)
    name = f"{PREFIX}{owner()}-{NUMBER}"
    folders = tuple((place.hierarchy, f"{place.parent}/{name}") for place in chosen)
    return _groups(folders, tuple(making.steps(chosen, name, wish)), made=True)


def join(directories: Mapping[Hierarchy, str]) -> Groups:
    """Lower being in groups that are there."""
    return _groups(tuple(directories.items()), (), made=False)


def thawed(groups: Groups) -> Iterator[Step]:
    """Make sure that nothing has stopped all in groups that are there, where something could."""
    from nsbox.cgroup import stopping  # noqa: PLC0415 - a command alone joins none

    with contextlib.suppress(OSError, UnsupportedError):
        file, frozen = stopping.telling(dict(groups.directories))
        # FREEZING, too: whoever joins then stops with the others.
        yield Step(Operation.THAWED, (file, "FR" if frozen == "FROZEN" else frozen))


def _groups(
    folders: tuple[tuple[Hierarchy, str], ...], make: tuple[Step, ...], *, made: bool
) -> Groups:
    join_v1 = tuple(
        Step(Operation.WRITE, (f"{folder}/{v1.JOIN}", b"0"))
        for hierarchy, folder in folders
        if hierarchy.version == 1
    )
    return Groups(folders, make, join_v1, made)
