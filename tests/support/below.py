"""The processes below this one, as the tests of executors look for them."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def processes_below(pid: int) -> Iterator[int]:
    """List all of them, at any depth."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        for child in map(int, found):
            yield child
            yield from processes_below(child)


def zygotes() -> list[int]:
    """List the interpreters that are in this process's pid namespace, in boxes of theirs."""
    firsts = {pid for pid in processes_below(os.getpid()) if _parent(pid) == os.getpid()}
    return [pid for pid in processes_below(os.getpid()) if pid not in firsts and _is_beside(pid)]


def until(condition: Callable[[], object]) -> None:
    """Wait until it holds; a minute is more than any host takes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.01)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _is_beside(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False
