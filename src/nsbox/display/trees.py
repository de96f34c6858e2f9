"""A group and all below it: looked at once, and drawn for a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from nsbox.display.gauges import Gauge, gauges
from nsbox.display.names import command_name
from nsbox.errors import UnsupportedError

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

_MOST_TASKS = 8


@attrs.frozen(kw_only=True)
class Look:
    """A group as it was when it was looked at.

    `trees` are the mount points of the hierarchies that it is in; `tasks` are told by pid and name,
    up to a few, `more_tasks` is how many others there are, `more_groups` how many groups below were
    not looked at.
    """

    name: str
    path: str
    trees: tuple[str, ...]
    gauges: tuple[Gauge, ...]
    frozen: bool
    tasks: tuple[tuple[int, str], ...]
    more_tasks: int
    below: tuple["Look", ...]
    more_groups: int


def look(group: "Cgroup", most: int | None = None) -> Look:
    """Look at a group and those below: of each the first `most` below it, all if None."""
    pids = sorted(group.pids)
    children = group.children
    return Look(
        name=group.name,
        path=group.path,
        trees=tuple(hierarchy.mountpoint for hierarchy in group.directories),
        gauges=gauges(group.stats(), group.resources),
        frozen=_is_frozen(group),
        tasks=tuple((pid, command_name(pid)) for pid in pids[:_MOST_TASKS]),
        more_tasks=max(0, len(pids) - _MOST_TASKS),
        below=tuple(look(child, most) for child in children[:most]),
        more_groups=0 if most is None else max(0, len(children) - most),
    )


def _is_frozen(group: "Cgroup") -> bool:
    try:
        return group.frozen
    except UnsupportedError:  # in no hierarchy that stops tasks
        return False


def text(group: Look) -> str:
    """Draw a group and all below it, a line each, tasks under the group that holds them."""
    return "\n".join(_lines(group, "", ""))


def _lines(group: Look, first: str, rest: str) -> Iterator[str]:
    usage = "   ".join(map(str, group.gauges))
    yield f"{first}{_printable(group.name)}{'   ' if usage else ''}{usage}"
    tasks = [f"{pid} {_printable(name)}" for pid, name in group.tasks]
    if group.more_tasks:
        tasks.append(f"… {group.more_tasks} more")
    for number, task in enumerate(tasks, start=1):
        last = number == len(tasks) and not group.below
        yield f"{rest}{'└─ ' if last else '├─ '}{task}"
    for number, child in enumerate(group.below, start=1):
        end = number == len(group.below)
        yield from _lines(
            child, rest + ("└── " if end else "├── "), rest + ("    " if end else "│   ")
        )


def _printable(name: str) -> str:
    """Names are bytes that anybody may choose: none reaches a terminal that is no printable."""
    return "".join(c if c.isprintable() else "?" for c in name)
