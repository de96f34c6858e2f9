"""The boxes of a worker's calls, one after the other, where each call has one of its own."""

import contextlib
import os
from collections.abc import Iterator, Sequence

from nsbox import commands
from nsbox.cgroup.account import BoxGroups
from nsbox.errors import NsboxError, StepError
from nsbox.executor.inside import Head
from nsbox.executor.nursery import Nursery
from nsbox.executor.settings import Settings
from nsbox.process import Process


class Boxes:
    """What a worker does about them, which is nothing where it has no `nursery`."""

    def __init__(self, nursery: Nursery | None) -> None:
        self.nursery = nursery
        self._groups: BoxGroups | None = None
        # Their first processes: that of the call which runs, and that of the call which comes next.
        self._first: Process | None = None
        self._next: Process | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Boxes":
        """Make them for a worker of these settings."""
        return cls(Nursery.of(settings))

    @property
    def entered(self) -> int:
        """How many namespaces a call's process is given; 0 for none of its own."""
        return 0 if self.nursery is None else len(self.nursery.entered)

    @property
    def message(self) -> bytes:
        """What the zygote is told beforehand."""
        return b"" if self.nursery is None else self.nursery.message()

    def adopt(self, zygote: Process) -> None:
        """Have all boxes in the groups of the zygote's, which last as long as any of them."""
        if self.nursery is not None:
            self._groups = zygote.give_groups()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Sequence[int]]:
        """Start the next call's box, and open its namespaces. Raises `StepError`."""
        if self.nursery is None:
            yield ()
            return
        ready, self._next = self._next, None
        if ready is not None and ready.poll() is not None:
            ready = None  # ended meanwhile: as one of their group, for want of memory
        self._first = ready or self._start(self.nursery)
        with contextlib.ExitStack() as stack:
            opened = []
            for kind in self.nursery.entered:
                path = f"/proc/{self._first.pid}/ns/{kind.proc_name}"
                opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                stack.callback(os.close, opened[-1])
            yield opened

    def prepare(self) -> None:
        """Start the box of the call after this one, which runs and needs no attention yet.

        What is in the way is for that call to find.
        """
        if self.nursery is not None and self._next is None:
            with contextlib.suppress(OSError, NsboxError):
                self._next = self._start(self.nursery)

    def _start(self, nursery: Nursery) -> Process:
        number = commands.next_number()
        return Process(commands.staying_beside(nursery.box, number, self._groups))

    def failure(self, head: Head) -> StepError | None:
        """Return the error of a call's process that did not get into its box, if that is told."""
        match head:
            case {"kind": "step", "index": int(index), "errno": int(errno)} if self.nursery:
                return self.nursery.failure(index, errno)
        return None  # or no such thing was told

    def kill(self) -> bool:
        """End the box of the call that runs, with all in it; False where there is none."""
        first = self._first  # another thread may ask for this
        if first is None:
            return False
        first.kill()
        return True

    def end(self) -> None:
        """End that box and wait until it has; the zygote must be there, or be gone."""
        first, self._first = self._first, None
        if first is not None:
            first.close()

    def close(self) -> None:
        """Let go of everything. The zygote is gone."""
        self.end()
        if self._next is not None:
            self._next.close()
            self._next = None
        if self._groups is not None:
            self._groups.remove()
        if self.nursery is not None:
            self.nursery.close()
