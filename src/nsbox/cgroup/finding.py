"""Groups that exist, found by name, by task, by the group above or below."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from nsbox.cgroup import controllers, delegation, files, making, v2
from nsbox.cgroup.hierarchy import UNIFIED, Hierarchy, groups_of, own_groups
from nsbox.cgroup.making import Place
from nsbox.cgroup.resources import Resources
from nsbox.errors import UnsupportedError

_MOST_BYTES = 255


class Span(NamedTuple):
    """A group in one hierarchy: its folder, and the subsystems that it is for there."""

    folder: str
    names: frozenset[str]


Spans = Mapping[Hierarchy, Span]


def check_name(name: str) -> None:
    """Raise `ValueError` for what cannot be a group's name."""
    bad = not isinstance(name, str) or name in ("", ".", "..")
    if bad or any(c in name for c in "/\0\n") or len(os.fsencode(name)) > _MOST_BYTES:
        raise ValueError(f"name: 1 to {_MOST_BYTES} bytes without '/' or line ends, not {name!r}")


def primary(spans: Spans) -> tuple[Hierarchy, Span]:
    """Return the hierarchy whose path stands for the group: the one that stops and ends tasks."""
    hierarchy = making.control(spans) or next(iter(spans))
    return hierarchy, spans[hierarchy]


def by_path(path: str, root: Path) -> dict[Hierarchy, Span]:
    """Find a group by its folder, or by its name below the caller's own groups."""
    own = own_groups(root)
    if os.path.isabs(path):
        found = {
            hierarchy: os.path.normpath(path)
            for hierarchy in own
            if Path(path).is_relative_to(hierarchy.mountpoint)
        }
    else:
        found = {h: f"{delegation.place(h, folder)}/{path}" for h, folder in own.items()}
    there = _existing(found)
    if not there:
        raise FileNotFoundError(errno.ENOENT, "no group in any cgroup hierarchy", path)
    return there


def of_task(pid: int, subsystem: str | None, root: Path) -> dict[Hierarchy, Span]:
    """Find the group of a task in one hierarchy, or in those where it has one name.

    Raises `ProcessLookupError` where that is gone, as it may be once the task has ended.
    """
    mounted = own_groups(root)
    folders = groups_of(pid, tuple(mounted), root)
    if subsystem is not None:
        hierarchy, _ = making.resolve(subsystem, mounted)
        if hierarchy not in folders:
            raise UnsupportedError(
                f"cgroups: {hierarchy.mountpoint} does not show task {pid}'s group"
            )
        folders = {hierarchy: folders[hierarchy]}
    elif not folders:
        raise UnsupportedError(f"cgroups: no hierarchy here shows task {pid}'s group")
    found = _alike(folders)
    if not found:
        raise ProcessLookupError(errno.ESRCH, "its group is gone", str(pid))
    return found


def above(spans: Spans) -> dict[Hierarchy, Span]:
    """Find the group above, in the hierarchies where it has one name."""
    folders = {
        hierarchy: os.path.dirname(span.folder)
        for hierarchy, span in spans.items()
        if span.folder != hierarchy.mountpoint
    }
    return _alike(folders)


def below(spans: Spans) -> Iterator[dict[Hierarchy, Span]]:
    """Find the groups directly below; each has the subsystems of this one where it exists."""
    names = {hierarchy: set(files.below(span.folder)) for hierarchy, span in spans.items()}
    for name in sorted(set().union(*names.values())):
        yield {
            hierarchy: Span(f"{span.folder}/{name}", span.names)
            for hierarchy, span in spans.items()
            if name in names[hierarchy]
        }


def places_below(
    spans: Spans, subsystems: Iterable[str] | None, wish: Resources
) -> tuple[Place, ...]:
    """Return where a group below another is to be made: in the same hierarchies.

    Raises `UnsupportedError` for a limit or a subsystem that the upper group is not for.
    """
    wanted = making.homes(subsystems or (), wish, spans)
    for hierarchy, names in wanted.items():
        missing = names - spans[hierarchy].names - {UNIFIED}
        if hierarchy.version == 2:
            missing -= making.IN_EVERY_V2_GROUP
        if missing:
            fields = [
                field
                for one in controllers.needed(wish)
                if one.NAMES[hierarchy.version] in missing
                for field in one.FIELDS
                if field in wish.given
            ]
            raise UnsupportedError(
                f"{fields[0] if fields else 'subsystems'}: the group above is not for "
                f"{', '.join(sorted(missing))}; make it with subsystems={{…}} that have it"
            )
    if subsystems is None:
        wanted = {
            hierarchy: span.names | wanted.get(hierarchy, frozenset())
            for hierarchy, span in spans.items()
        }
    else:
        wanted = {hierarchy: wanted.get(hierarchy, frozenset()) for hierarchy in spans}
    folders = {hierarchy: span.folder for hierarchy, span in spans.items()}
    return making.places(wanted, folders, exact=True)


def _alike(folders: Mapping[Hierarchy, str]) -> dict[Hierarchy, Span]:
    """Keep those hierarchies where the group has the name that it has in the first of them."""
    if not folders:
        return {}
    first = making.control(folders) or next(iter(folders))
    name = _name(first, folders[first])
    return _existing({h: folder for h, folder in folders.items() if _name(h, folder) == name})


def _name(hierarchy: Hierarchy, folder: str) -> str:
    return os.path.basename(folder.removeprefix(hierarchy.mountpoint))


def spans(folders: Mapping[Hierarchy, str]) -> dict[Hierarchy, Span]:
    """Return a group as all of its subsystems have it: on v2 those that were handed down to it."""
    return {
        hierarchy: Span(
            folder, v2.controllers(folder) if hierarchy.version == 2 else hierarchy.keys
        )
        for hierarchy, folder in folders.items()
    }


def _existing(folders: Mapping[Hierarchy, str]) -> dict[Hierarchy, Span]:
    return spans({h: folder for h, folder in folders.items() if os.path.isdir(folder)})
