"""What happens in a group, as it happens: OOM, OOM kills, limits met, the last task gone.

v2 tells by a change of its ``*.events`` files (cgroup-v2.rst, "[Un]populated Notification"), v1 of
OOM by an eventfd (cgroup-v1/memory.rst, "OOM Control"), and the end of a task by its pidfd. What
nobody tells is looked at ten times a second:

- v1's limits met (``memory.failcnt``) and OOM kills. A threshold on the usage ("Memory Thresholds")
  cannot stand in for the first: a charge fails below the limit, too, by as much as is charged at
  once, and is tried again and again above the threshold, which tells only when it is crossed.
- the first task in an empty group, without v2.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import attrs

from nsbox.cgroup import files, formats, stopping
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.cgroup.populated import Populated
from nsbox.cgroup.waiting import CHANGED, READABLE, Waiter, left

_LOOK_AGAIN = 0.1
_STILL_THERE = 1.0
"""Seconds: a group that is removed does not say so."""


class Event(NamedTuple):
    """A figure that changed: which file's and key's, what it was before and what it is now.

    - ``cgroup``: ``populated`` (1: tasks are here or below, 0: none), ``frozen``.
    - ``memory``: ``oom``, ``oom_kill``, ``max`` and, on v2, ``high``, ``low``, ``oom_group_kill``.
    - ``memory.swap``: ``max``; on v1 that of memory and swap together.
    - ``pids``: ``max``, a fork that was refused. And others that the kernel counts.
    """

    subsystem: str
    name: str
    value: int
    before: int


@attrs.define
class _Source:
    """Something that tells when it is looked at, and what it told last; None: it is gone."""

    subsystem: str
    look: Callable[[], dict[str, int] | None]
    last: dict[str, int]


class Events(Waiter):
    """The events of a group from now on; made by `Cgroup.events`.

    Iterate over it in a thread or, with ``async for``, in asyncio; or take one by `wait`. It ends
    when the group is removed. A context manager, that closes what it listens with.
    """

    def __init__(self, directories: Mapping[Hierarchy, str]) -> None:
        super().__init__()
        self._sources: list[_Source] = []
        self._queue: deque[Event] = deque()
        self._ooms: tuple[int, int, int] | None = None
        self._often = False
        self._populated: Populated | None = None
        try:
            self._listen(directories)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening."""
        super().close()
        if self._populated is not None:
            self._populated.close()

    def wait(self, timeout: float | None = None) -> Event | None:
        """Return the next event; None after `timeout` seconds, or when the group is gone."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._queue and self._sources:
            remaining = left(deadline)
            self._wait(self._pause() if remaining is None else min(self._pause(), remaining))
            self._look()
            if not self._queue and remaining == 0:
                break
        return self._queue.popleft() if self._queue else None

    def __iter__(self) -> "Events":
        return self

    def __next__(self) -> Event:
        event = self.wait()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        while not self._queue and self._sources:
            await self._wait_async(self._pause())
            self._look()
        if not self._queue:
            raise StopAsyncIteration
        return self._queue.popleft()

    def _listen(self, directories: Mapping[Hierarchy, str]) -> None:
        unified = stopping.unified(directories)
        if unified is not None:
            for name in sorted(os.listdir(unified)):
                if name.endswith(".events"):
                    self._add(f"{unified}/{name}", name.removesuffix(".events"), formats.flat)
        for hierarchy, folder in directories.items():
            if "memory" in hierarchy.subsystems and hierarchy.version == 1:
                self._listen_to_memory_v1(folder)
            if "pids" in hierarchy.subsystems and hierarchy.version == 1:
                self._add(f"{folder}/pids.events", "pids", formats.flat)
        if unified is None:
            folder = next(iter(directories.values()))
            self._populated = Populated(folder)
            self._watch(os.dup(self._populated.fileno()), READABLE)
            self._add_source("cgroup", self._populated.look)

    def _pause(self) -> float:
        """Seconds until we look again if nothing is told meanwhile."""
        told = self._populated is None or self._populated.told
        return _STILL_THERE if told and not self._often else _LOOK_AGAIN

    def _listen_to_memory_v1(self, folder: str) -> None:
        self._often = True
        self._add(f"{folder}/memory.failcnt", "memory", _limit_met, told=False)
        self._add(f"{folder}/memory.memsw.failcnt", "memory.swap", _limit_met, told=False)
        control = self._add(f"{folder}/memory.oom_control", "memory", _oom_kills, told=False)
        if control is None:
            return
        counter = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watch(counter, READABLE)
        self._ooms = counter, control, 0
        files.write(f"{folder}/cgroup.event_control", f"{counter} {control}")

    def _add(
        self,
        path: str,
        subsystem: str,
        parse: Callable[[str], dict[str, int]],
        *,
        told: bool = True,
    ) -> int | None:
        """Open a file and take down what it says now; one that is not there says nothing."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self._watch(descriptor, CHANGED if told else 0)

        def look() -> dict[str, int] | None:
            text = files.read_open(descriptor)
            return None if text is None else parse(text)

        self._add_source(subsystem, look)
        return descriptor

    def _add_source(self, subsystem: str, look: Callable[[], dict[str, int] | None]) -> None:
        self._sources.append(_Source(subsystem, look, look() or {}))

    def _look(self) -> None:
        """Read all files again, and queue what changed."""
        if self._ooms is not None:
            self._count_ooms(*self._ooms)
        for source in tuple(self._sources):
            now = source.look()
            if now is None:  # the group is gone
                self._sources.remove(source)
                continue
            for key, value in now.items():
                before = source.last.get(key, 0)
                if value != before:
                    self._queue.append(Event(source.subsystem, key, value, before))
            source.last = now

    def _count_ooms(self, counter: int, control: int, before: int) -> None:
        try:
            count = os.eventfd_read(counter)
        except BlockingIOError:
            return
        # The end of the group is told by the eventfd, too, once its files have gone.
        if files.read_open(control) is None:
            return
        self._ooms = counter, control, before + count
        self._queue.append(Event("memory", "oom", before + count, before))


def _oom_kills(text: str) -> dict[str, int]:
    counts = formats.flat(text)
    return {"oom_kill": counts["oom_kill"]} if "oom_kill" in counts else {}


def _limit_met(text: str) -> dict[str, int]:
    return {"max": formats.single(text)}
