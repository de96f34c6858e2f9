"""The boxes of a worker's calls, one after the other, where each call has one of its own."""

import contextlib
import os
import pickle
from collections.abc import Iterator, Sequence

from nsbox import commands
from nsbox.executor.nursery import Nursery
from nsbox.executor.settings import Settings
from nsbox.process import Process


class Boxes:
    """What a worker does about them, which is nothing where it has no `nursery`."""

    def __init__(self, nursery: Nursery | None) -> None:
        self.nursery = nursery
        self._first: Process | None = None  # the first process of the box of the call that runs

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
        """What the zygote is told beforehand: the steps that its forks do."""
        return b"" if self.nursery is None else pickle.dumps(self.nursery.steps)

    @contextlib.contextmanager
    def begin(self, zygote: Process) -> Iterator[Sequence[int]]:
        """Start the next call's box, and open its namespaces. Raises `StepError`."""
        if self.nursery is None:
            yield ()
            return
        command = commands.staying_beside(self.nursery.box, commands.next_number(), zygote.groups)
        self._first = Process(command)
        with contextlib.ExitStack() as stack:
            opened = []
            for name in self.nursery.entered:
                path = f"/proc/{self._first.pid}/ns/{name}"
                opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                stack.callback(os.close, opened[-1])
            yield opened

    def kill(self) -> bool:
        """End the box of the call that runs, with all in it; False where there is none."""
        if self._first is None:
            return False
        self._first.kill()
        return True

    def end(self) -> None:
        """End that box and wait until it has; the zygote must be there, or be gone."""
        first, self._first = self._first, None
        if first is not None:
            first.close()

    def close(self) -> None:
        """Let go of everything. The zygote is gone."""
        self.end()
        if self.nursery is not None:
            self.nursery.close()
