"""The group of a container, by its path: config-linux.md, "Cgroups Path"."""

import contextlib
import os
from collections.abc import Iterable, Iterator

from nsbox.cgroup import Resources, delegation, making, performing, v2
from nsbox.cgroup.hierarchy import Hierarchy, hierarchies, own_groups
from nsbox.cgroup.making import Place
from nsbox.cgroup.owner import ATTRIBUTE
from nsbox.errors import UnsupportedError
from nsbox.plan import Step


def make(path: str, wish: Resources) -> tuple[dict[Hierarchy, str], list[str]]:
    """Make a group with these limits, and those above it; return its folders, and all made.

    An absolute path is one of each hierarchy that is mounted here, another begins where the caller
    makes its groups. It is made in all that the caller may use, so that whoever reads figures finds
    them; a hierarchy that a limit needs must be among them. Whoever made it, `nsbox.reap` leaves it
    alone. Raises as `Cgroup.create` does.
    """
    wish = wish.resolved()
    own = own_groups()
    wanted = making.homes((), wish, own)
    parts = [part for part in path.split("/") if part]
    if not parts or ".." in parts or "." in parts:
        raise ValueError(f"linux.cgroupsPath: a path without dots, not {path!r}")
    folders: dict[Hierarchy, str] = {}
    made: list[str] = []
    try:
        for hierarchy, group in own.items():
            above = hierarchy.mountpoint if path.startswith("/") else group
            needed = wanted.get(hierarchy)
            for names in ((needed or frozenset()) | _useful(hierarchy), needed or frozenset()):
                try:
                    base = delegation.base(hierarchy, above, names).rstrip("/")
                except UnsupportedError:
                    if needed and names == needed:
                        raise
                    continue
                folders[hierarchy] = "/".join((base, *parts))
                made += _make(hierarchy, base, parts, names, wish)
                break
    except BaseException:
        remove(made)
        raise
    if wish.given and not folders:
        raise UnsupportedError("linux.cgroupsPath: no hierarchy here lets this caller make groups")
    return folders, made


def _useful(hierarchy: Hierarchy) -> frozenset[str]:
    if hierarchy.version == 1:
        return hierarchy.subsystems
    return hierarchy.subsystems & {"cpu", "memory", "pids", "io"}


def _make(
    hierarchy: Hierarchy, base: str, parts: list[str], names: frozenset[str], wish: Resources
) -> Iterator[str]:
    for depth, name in enumerate(parts):
        place = Place(hierarchy, "/".join((base, *parts[:depth])), names)
        last = depth == len(parts) - 1
        steps: Iterable[Step] = making.steps([place], name, wish if last else Resources())
        if not last and os.path.isdir(f"{place.parent}/{name}"):
            steps = v2.hand_down(place.parent, names) if hierarchy.version == 2 else ()
        for folder in performing.perform(steps, lambda _: None):
            with contextlib.suppress(OSError):
                os.removexattr(folder, ATTRIBUTE)
            yield folder


def found(folders: Iterable[str]) -> dict[Hierarchy, str]:
    """Return groups by their hierarchies, as another process finds them by their folders."""
    known = hierarchies()
    return {
        one: folder
        for folder in folders
        for one in known
        if folder.startswith(one.mountpoint.rstrip("/") + "/")
    }


def remove(folders: Iterable[str]) -> None:
    """Remove what was made, the lowest first; what others have made a group below stays."""
    for folder in sorted(folders, key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
