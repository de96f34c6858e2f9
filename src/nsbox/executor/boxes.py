"""The boxes of a worker's calls, one after the other, where each call has one of its own."""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Sequence

from nsbox import commands
from nsbox.cgroup.account import BoxGroups
from nsbox.commands import Parking
from nsbox.errors import NsboxError, StepError, WorkerDied
from nsbox.executor.inside import Head
from nsbox.executor.nursery import Nursery
from nsbox.executor.settings import Settings
from nsbox.process import Process, give_groups

_GONE = (errno.ENOENT, errno.ESRCH, errno.EACCES)
"""What /proc says of the namespaces of a process that has none any longer."""


class Boxes:
    """What a worker does about them, which is nothing where it has no `nursery`."""

    def __init__(self, nursery: Nursery | None) -> None:
        self.nursery = nursery
        self._groups: BoxGroups | None = None
        # Their first processes: that of the call which runs, and that of the call which comes next.
        self._first: Process | None = None
        self._next: tuple[Process, Parking] | None = None
        # Held by whoever could wait for the end of the former: as long, its number is its own.
        self._lock = threading.Lock()
        self._stopped = False

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
            self._groups = give_groups(zygote)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Sequence[int]]:
        """Start the next call's box, and open its namespaces. Raises `StepError`, `WorkerDied`."""
        if self.nursery is None:
            yield ()
            return
        opened = self._open(self._ready(), self.nursery)
        if opened is None:  # it was one of the group that had to end, for want of memory, maybe
            opened = self._open(self._start(self.nursery), self.nursery)
        if opened is None:
            raise WorkerDied("the call's box has ended before the call began")
        try:
            yield opened
        finally:
            _close(opened)

    def _ready(self) -> Process | None:
        """Return the box that was started ahead, if it is what would be started now."""
        if self._next is None:
            return None
        (ready, parking), self._next = self._next, None
        if not parking.is_current:
            ready.close()
            return None
        return ready

    def _open(self, first: Process | None, nursery: Nursery) -> list[int] | None:
        """Have the call in this box, and open its namespaces; None where it has ended."""
        if first is None:
            return None
        self._first = first
        opened: list[int] = []
        with self._lock:
            if self._stopped:
                raise WorkerDied("the executor was ended before the call began")
            try:
                for kind in nursery.entered:
                    path = f"/proc/{first.pid}/ns/{kind.proc_name}"
                    opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                if first.poll() is None:  # not waited for, so it was nobody else's number
                    return opened
            except OSError as error:
                if error.errno not in _GONE:
                    _close(opened)
                    raise
        _close(opened)
        self.end()
        return None

    def prepare(self) -> None:
        """Start the box of the call after this one, which runs and needs no attention yet.

        What is in the way is for that call to find.
        """
        if self.nursery is not None and self._next is None:
            with contextlib.suppress(OSError, NsboxError):
                parking = commands.parking_beside(self.nursery.box, self._groups)
                self._next = Process(parking.command), parking

    def _start(self, nursery: Nursery) -> Process:
        return Process(commands.staying_beside(nursery.box, self._groups))

    def failure(self, head: Head) -> StepError | None:
        """Return the error of a call's process that did not get into its box, if that is told."""
        match head:
            case {"kind": "step", "index": int(index), "errno": int(errno)} if self.nursery:
                return self.nursery.failure(index, errno)
        return None  # or no such thing was told

    def kill(self) -> bool:
        """End the box of the call that runs, with all in it; False where there is none."""
        with self._lock:
            first = self._first
            if first is None:
                return False
            first.kill()
            return True

    def stop(self) -> None:
        """Do so from another thread, and begin no other: not the one that is being made either."""
        self._stopped = True
        self.kill()

    def end(self) -> None:
        """End that box and wait until it has; the zygote must be there, or be gone."""
        first, self._first = self._first, None
        if first is not None:
            first.close()

    def close(self) -> None:
        """Let go of everything. The zygote is gone."""
        self.end()
        if self._next is not None:
            self._next[0].close()
            self._next = None
        if self._groups is not None:
            self._groups.remove()
        if self.nursery is not None:
            self.nursery.close()


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)
