"""The group of a container, by its path: config-linux.md, "Cgroups Path"."""

import contextlib
import os
from collections.abc import Iterable

import attrs

from nsbox.cgroup import Resources, delegation, making, performing, removing, v2
from nsbox.cgroup.hierarchy import Hierarchy, hierarchies, own_groups
from nsbox.cgroup.making import Place
from nsbox.cgroup.owner import ATTRIBUTE
from nsbox.errors import UnsupportedError
from nsbox.plan import Step


@attrs.frozen
class Groups:
    """A group that is to be made with its limits: its place in each hierarchy, for which names."""

    parts: tuple[str, ...]
    wish: Resources
    places: dict[Hierarchy, tuple[str, frozenset[str]]]

    @property
    def folders(self) -> dict[Hierarchy, str]:
        """Its folder in each hierarchy."""
        return {one: "/".join((base, *self.parts)) for one, (base, _) in self.places.items()}

    @property
    def missing(self) -> list[str]:
        """The folders that are not there yet: its own, and those above."""
        every = (
            "/".join((base, *self.parts[: depth + 1]))
            for base, _ in self.places.values()
            for depth in range(len(self.parts))
        )
        return [folder for folder in every if not os.path.isdir(folder)]

    def make(self) -> None:
        """Make it. Raises as `Cgroup.create` does; what was made is left to be removed."""
        for hierarchy, (base, names) in self.places.items():
            for depth, name in enumerate(self.parts):
                place = Place(hierarchy, "/".join((base, *self.parts[:depth])), names)
                self._make(place, name, last=depth == len(self.parts) - 1)

    def _make(self, place: Place, name: str, *, last: bool) -> None:
        steps: Iterable[Step] = making.steps([place], name, self.wish if last else Resources())
        if not last and os.path.isdir(f"{place.parent}/{name}"):
            there = place.hierarchy.version == 2
            steps = v2.hand_down(place.parent, place.subsystems) if there else ()
        for folder in performing.perform(steps, lambda _: None):
            with contextlib.suppress(OSError):
                os.removexattr(folder, ATTRIBUTE)


def choose(path: str, wish: Resources) -> Groups:
    """Choose where a group with these limits is to be.

    An absolute path is one of each hierarchy that is mounted here, another begins where the caller
    makes its groups. It is made in all that the caller may use, so that whoever reads figures finds
    them; a hierarchy that a limit needs must be among them. Whoever made it, `nsbox.reap` leaves it
    alone. Raises `UnsupportedError`.
    """
    wish = wish.resolved()
    own = own_groups()
    wanted = making.homes((), wish, own)
    parts = tuple(part for part in path.split("/") if part)
    if not parts or ".." in parts or "." in parts:
        raise ValueError(f"linux.cgroupsPath: a path without dots, not {path!r}")
    places = {}
    for hierarchy, group in own.items():
        above = hierarchy.mountpoint if path.startswith("/") else group
        found = _place(hierarchy, above, wanted.get(hierarchy))
        if found is not None:
            places[hierarchy] = found
    return Groups(parts, wish, places)


def _place(
    hierarchy: Hierarchy, above: str, needed: frozenset[str] | None
) -> tuple[str, frozenset[str]] | None:
    """Return where the group begins, with as much as the caller may have there; None: nowhere."""
    least = needed or frozenset()
    for names in (least | _useful(hierarchy), least):
        try:
            return delegation.base(hierarchy, above, names).rstrip("/"), names
        except UnsupportedError:
            if needed and names == needed:
                raise
    return None


def _useful(hierarchy: Hierarchy) -> frozenset[str]:
    if hierarchy.version == 1:
        return hierarchy.subsystems
    return hierarchy.subsystems & {"cpu", "memory", "pids", "io"}


def found(folders: Iterable[str]) -> dict[Hierarchy, str]:
    """Return groups by their hierarchies, as another process finds them by their folders."""
    known = hierarchies()
    return {
        one: folder
        for folder in folders
        for one in known
        if folder.startswith(one.mountpoint.rstrip("/") + "/")
    }


def remove(made: Iterable[str], own: Iterable[str]) -> None:
    """Remove what was made, the lowest first: its `own`, and those above that nobody else is below.

    Whoever was in its own may be on the way out.
    """
    for folder in sorted(made, key=len, reverse=True):
        with contextlib.suppress(OSError):
            if folder in own:
                removing.remove([folder])
            else:
                os.rmdir(folder)
