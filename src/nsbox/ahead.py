"""One box that waits for its command: made, given it, thrown away, taken down. See unix(7)."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nsbox import _native, commands
from nsbox.launch import OutdatedError
from nsbox.plan import Slot
from nsbox.rootfs.overlay import remove_work
from nsbox.spec import BoxSpec

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

ROOM = 1 << 18
"""Bytes for a command and its environment; a longer one gets a box made on demand."""

Later = Callable[[Callable[[], None]], None]


class Ahead:
    """Such a box; `later` has something done when nobody waits for it."""

    def __init__(self, spec: BoxSpec, cgroup: "Cgroup | None", later: Later) -> None:
        self._later = later
        self._maker = os.getpid()
        self._leaves = False
        self.parking = commands.parking(spec, cgroup)
        self._own = self.parking.command.own()
        lent = None if self._own.groups is None else self._own.groups.lent()
        self.lent = self._own._replace(groups=lent, works=())
        self.socket, theirs = socket.socketpair()
        with theirs, open(os.devnull, "r+b", buffering=0) as null:
            standard = [null.fileno()] * 3
            try:
                self.launched = self._launch({Slot.PARKED: theirs.fileno()}, standard)
            except BaseException:
                self._remove()
                raise

    def __del__(self) -> None:
        # Whoever has taken it could not use it: there was something wrong with its command.
        if hasattr(self, "launched") and not self._leaves and os.getpid() == self._maker:
            self._leave(self.discard)

    def _launch(self, given: dict[int, int], standard: Sequence[int]) -> _native.Launched:
        command = self.parking.command
        with command.opened(None) as opened:
            launched = command.begin(
                self._own,
                {**command.joined, **opened, **given},
                standard,
                tell_of_exec=True,
                room=ROOM,
            )
        if launched.pidfd < 0:
            raise command.failure(launched.outcome.step, launched.outcome.error)
        return launched

    def release(
        self, argv: Sequence[bytes], environment: Sequence[bytes], standard: Sequence[int]
    ) -> _native.Launched:
        """Give it a command, with its standard descriptors.

        Raises `OutdatedError`, also where a step of it has failed: on demand it fails again, and is
        told of.
        """
        try:
            if self.parking.origin.has_changed:
                raise OSError(errno.ESTALE, "what it was made from has changed")
            try:
                self.launched.release(argv, environment, standard, self.socket.fileno())
            except OSError as error:
                if error.errno != errno.ESTALE or not self.parking.first.outdated():
                    raise
                self.launched.release(argv, environment, standard, self.socket.fileno())
        except OSError as error:
            self._leave(self.discard)
            raise OutdatedError from error
        return _Lent(self.launched, self)

    def discard(self) -> None:
        """End it unused."""
        self._leaves = True
        self.launched.send_signal(signal.SIGKILL)
        self.bury()

    def bury_later(self) -> None:
        """`bury` it when nobody waits for that."""
        self._leave(self.bury)

    def bury(self) -> None:
        """Take down what is left of it, once it has ended."""
        while self.launched.wait_end(None) is None:
            pass
        self._remove()

    def _leave(self, chore: Callable[[], None]) -> None:
        self._leaves = True
        self._later(chore)

    def _remove(self) -> None:
        self.socket.close()
        if self._own.groups is not None:
            self._own.groups.remove()
        for folder in self._own.works:
            remove_work(folder)


class _Lent(_native.Launched):
    """A launch that is over for its process as soon as the box has told what there is to tell."""

    def __init__(self, launched: _native.Launched, ahead: Ahead) -> None:
        super().__init__(launched._request, launched)
        self._ahead = ahead
        self._told: _native.Outcome | None = None

    @property
    def outcome(self) -> _native.Outcome:
        return self._told or super().outcome

    def wait_end(self, timeout: float | None) -> tuple[int, float, float] | None:
        if self._told is None:
            told = self.wait_answer(self._ahead.socket.fileno(), timeout)
            if told is None:
                return None
            if not told.finished:  # killed, or no command has begun
                ended = super().wait_end(timeout)
                if ended is not None:
                    self._ahead.bury_later()
                return ended
            self._ahead.bury_later()
            self._told = told
        return 0, self._told.user_seconds, self._told.system_seconds
