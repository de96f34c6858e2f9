"""The processes below this one, as tests look for them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def own_children() -> list[int]:
    """List the children of this process, whichever of its threads they are of."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends just now
            text = Path(f"/proc/self/task/{thread}/children").read_text()
            found += map(int, text.split())
    return found


def processes_below(pid: int) -> Iterator[int]:
    """List all of them, at any depth: by /proc as a whole, for what it tells of children may lack.

    See proc_pid_task_tid_children(5): what ends meanwhile makes it leave out others.
    """
    yield from _below(pid, _parents())


def zygotes() -> list[int]:
    """List the interpreters that are in this process's pid namespace, in boxes of theirs."""
    parents, own = _parents(), os.getpid()
    firsts = {pid for pid, parent in parents.items() if parent == own}
    return [pid for pid, parent in parents.items() if parent in firsts and _is_beside(pid)]


def until(condition: Callable[[], object]) -> None:
    """Wait until it holds; a minute is more than any host takes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.01)


def _below(pid: int, parents: dict[int, int]) -> Iterator[int]:
    for child in [one for one, parent in parents.items() if parent == pid]:
        yield child
        yield from _below(child, parents)


def _parents() -> dict[int, int]:
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        found[int(name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _is_beside(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False
