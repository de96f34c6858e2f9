"""A group drawn for a terminal: the tree of groups, usage against limits, the tasks in them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nsbox.cgroup import files
from nsbox.cgroup.resources import Resources
from nsbox.cgroup.stats import Stats

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

_MOST_TASKS = 8


def picture(group: "Cgroup") -> str:
    """Draw a group and all below it, a line each, tasks under the group that holds them."""
    return "\n".join(_lines(group, "", ""))


def _lines(group: "Cgroup", first: str, rest: str) -> Iterator[str]:
    usage = "   ".join(describe(group.stats(), group.resources))
    yield f"{first}{_printable(group.name)}{'   ' if usage else ''}{usage}"
    tasks = [f"{pid} {_comm(pid)}" for pid in sorted(group.pids)]
    if len(tasks) > _MOST_TASKS:
        tasks[_MOST_TASKS:] = [f"… {len(tasks) - _MOST_TASKS} more"]
    children = group.children
    for number, child in enumerate(children, start=1 + len(tasks)):
        if number == 1 + len(tasks):
            yield from _tasks(tasks, rest, last=False)
        end = number == len(children) + len(tasks)
        yield from _lines(
            child, rest + ("└── " if end else "├── "), rest + ("    " if end else "│   ")
        )
    if not children:
        yield from _tasks(tasks, rest, last=True)


def _tasks(tasks: list[str], rest: str, *, last: bool) -> Iterator[str]:
    for number, task in enumerate(tasks, start=1):
        yield f"{rest}{'└─ ' if last and number == len(tasks) else '├─ '}{task}"


def describe(stats: Stats, limits: Resources) -> list[str]:
    """Put usage against limits into words, for the subsystems that there are."""
    said = []
    memory, cpu, pids = (stats.parts.get(name) for name in ("memory", "cpu", "pids"))
    if memory is not None:
        said.append(f"memory {_of(_size(memory.current), limits.memory_max, _size)}")
        if memory.oom_kills:
            said.append(f"{memory.oom_kills} OOM kills")
    if cpu is not None:
        limit = limits.cpu_max
        if isinstance(limit, tuple):
            limit = limit[0] / limit[1]
        most = "" if limit in (None, "max") else f", at most {limit:g} CPUs"
        said.append(f"cpu {cpu.usage_seconds:.2f} s{most}")
    if pids is not None:
        said.append(f"pids {_of(str(pids.current), limits.pids_max, str)}")
    return said


def _of(current: str, limit: Any, show: Any) -> str:
    return current if limit in (None, "max") else f"{current} of {show(limit)}"


def _size(amount: int) -> str:
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _comm(pid: int) -> str:
    return _printable((files.read(f"/proc/{pid}/comm") or "gone").rstrip("\n"))


def _printable(text: str) -> str:
    """Names are bytes that anybody may choose: none reaches a terminal that is no printable."""
    return "".join(c if c.isprintable() else "?" for c in text)
