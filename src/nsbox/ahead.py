"""One box that waits for its command: made, given it, thrown away, taken down. See unix(7)."""

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nsbox import _native, commands
from nsbox.launch import OutdatedError
from nsbox.pipes import above_standard
from nsbox.plan import Slot
from nsbox.spec import BoxSpec

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

ROOM = 1 << 18
"""Bytes for a command and its environment; a longer one gets a box made on demand."""

_PATIENCE = 1.0
"""Seconds for what is killed to be gone, unless it is frozen."""

_MOMENT = 0.05
"""Seconds for one that has begun to come to the command."""

Later = Callable[[Callable[[], None]], None]


class Ahead:
    """Such a box; `later` has something done when nobody waits for it."""

    def __init__(self, spec: BoxSpec, cgroup: "Cgroup | None", later: Later) -> None:
        self._later = later
        self._maker = os.getpid()
        self._leaving = self._leaves = self._ripe = False
        self.parking = commands.parking(spec, cgroup)
        self.socket, theirs = socket.socketpair()
        if self.socket.fileno() <= 2:  # the caller may give that number to something else
            self.socket = socket.socket(fileno=above_standard(self.socket.detach()))
        self.number = self.socket.fileno()
        with theirs, open(os.devnull, "r+b", buffering=0) as null:
            standard = [null.fileno()] * 3
            try:
                self._launch({Slot.PARKED: theirs.fileno()}, standard)
            except BaseException:
                if hasattr(self, "launched"):
                    self.launched.abandon()
                    self._own.remove()
                self._leaves = True
                self.socket.close()
                raise

    def __del__(self) -> None:
        # Whoever has taken it could not use it: there was something wrong with its command.
        if hasattr(self, "launched") and not self._leaves and os.getpid() == self._maker:
            self.leave(self.discard)

    def _launch(self, given: dict[int, int], standard: Sequence[int]) -> None:
        command = self.parking.command
        with command.opened(None) as opened:
            joined = {**command.joined, **opened, **given}
            launched = command.prepared(joined, standard, room=ROOM)
            self._own = command.own(launched)
            self.launched = launched
            launched.begin()
        if self.launched.pidfd < 0:
            outcome = self.launched.outcome
            raise command.failure(outcome.step, outcome.error)
        self.lent = self._own.lent()
        self._run = self.launched.run_parked

    def lend(self, strings: _native.Strings, standard: Sequence[int]) -> _native.Launched:
        """Make the launch of a command in it, with its standard descriptors."""
        return _Lent(self, self.launched, strings, standard)

    def run(self, strings: Any) -> int:
        """Have it run a command, and wait for the answer: `released` by that."""
        if not self.parking.origin.is_looked_at:  # mostly, and then it is said in one call
            result = self._run(self.number, strings)
            if result >= 0:
                return result
        return self.released(self._run, strings)

    def released(self, release: Callable[..., int], *given: object) -> int:
        """Have it given its command by `release`, at the socket where it waits for that.

        Raises `OutdatedError`, also where a step of it has failed: on demand it fails again, and is
        told of.
        """
        result, origin = -errno.ESTALE, self.parking.origin
        if not (origin.is_looked_at and origin.has_changed):
            result = release(self.number, *given)
            if result == -errno.ESTALE and self.parking.first.outdated():
                result = release(self.number, *given)
        if result < 0:
            self.launched.send_signal(signal.SIGKILL)  # it may have the caller's descriptors
            self.leave(self.discard)
            raise OutdatedError(os.strerror(-result))
        return result

    def ripen(self) -> None:
        """Give it a moment, once, to come so far that it waits."""
        if not self._ripe:
            self._ripe = True
            self.launched.take_command(self.number, _MOMENT)

    def discard(self) -> None:
        """End it unused."""
        self._leaves = True
        self.bury()

    def abandon(self) -> None:
        """End it, whatever runs in it; a fork of its owner only lets go of it."""
        if self._leaving:  # it has ended, and another thread may be at it
            return
        self.launched.abandon()
        if os.getpid() == self._maker:
            self.leave()

    def bury(self) -> None:
        """Take down what is left of it, once its command has ended."""
        self._end()
        self._remove()

    def _end(self) -> None:
        self.launched.send_signal(signal.SIGKILL)
        patience = time.monotonic() + _PATIENCE
        while not self.launched.wait_end(_PATIENCE):
            if self._own.groups is not None and time.monotonic() >= patience:
                self._own.groups.thaw()  # a frozen one would never end
        self.launched.settle()

    def leave(self, chore: Callable[[], None] | None = None) -> None:
        """Have it taken down when nobody waits for that, its command having ended; or `chore`."""
        self._leaving = True
        self._later(chore or self.bury)
        self._leaves = True  # what an exception in between has done twice is harmless

    def _remove(self) -> None:
        self.socket.close()
        self.number = -1
        self._own.remove()


class _Lent(_native.Launched):
    """A launch that is over for its process as soon as the box has told what there is to tell."""

    def __init__(
        self,
        ahead: Ahead,
        launched: _native.Launched,
        strings: _native.Strings,
        standard: Sequence[int],
    ) -> None:
        super().__init__(launched._request, launched.figures, launched)
        self._ahead = ahead
        self._given = strings, standard

    def begin(self) -> None:
        self.hand(*self._given)
        self._ahead.released(self.release)

    def wait_end(self, timeout: float | None) -> bool:
        answered = self.wait_answer(self._ahead.number, timeout)
        return super().wait_end(timeout) if answered is False else answered is True

    def settle(self) -> None:
        """Leave that to who takes the box down."""

    def abandon(self) -> None:
        self._ahead.abandon()
