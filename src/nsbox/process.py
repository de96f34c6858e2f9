"""A command in a box, as a handle shaped like `subprocess.Popen`."""

import contextlib
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn

from nsbox import _native, pipes
from nsbox._native.values import Outcome
from nsbox.cgroup.account import BoxGroups
from nsbox.display import Displayed
from nsbox.errors import OutputExceeded, StepError
from nsbox.launch import Command, OutdatedError, Parked
from nsbox.link import Publication
from nsbox.pipes import Stream
from nsbox.security.notify import Listener
from nsbox.terminal import Channel, Terminal
from nsbox.usage import Usage, usage_of


class Process(Displayed):
    """A running command and the box that it runs in; both end together.

    The names and their meaning are those of `subprocess.Popen`: `args`, `pid`, `returncode`
    (negative: ended by that signal), `stdin`, `stdout`, `stderr`. `fileno` is the pidfd, to be
    waited for by any event loop; `usage` is there once the command has ended, `terminal` where one
    was asked for, `port` where the box is on a bridge of `nsbox.network`, `published` where it has
    ports. A copy of the caller that os.fork() made has descriptors of its own: closing them there
    leaves the command alone.
    """

    def __init__(
        self,
        command: Command,
        args: Any = None,
        parked: Parked | None = None,
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: pipes.Text | None = None,
        wait_exec: bool = True,
    ) -> None:
        self.args = args
        self.pid = -1
        self.returncode: int | None = None
        self.usage: Usage | None = None
        # The thread that holds it may take it again: an exception that a signal handler raises just
        # after the first time would else leave it to nobody.
        self._waiting = threading.RLock()
        self._exchange: pipes.Exchange | None = None
        self._launched: _native.Launched | None = None
        self._starter = os.getpid()
        self.terminal: Terminal | None = None
        self.published: Publication | None = None
        self.port = None if command.connect is None else command.connect()
        streams = stdin, stdout, stderr
        try:
            if command.publish is not None:
                self.published = command.publish()
            while not self._start(command, parked, streams, text, wait_exec=wait_exec):
                assert command.anew is not None
                command, parked = command.anew(), None
        except BaseException:
            self._abandon()
            self._disconnect()
            raise

    def _start(
        self,
        command: Command,
        parked: Parked | None,
        streams: tuple[Stream, Stream, Stream],
        text: pipes.Text | None,
        *,
        wait_exec: bool,
    ) -> bool:
        """Launch it; False where its plan does not hold any longer, and nothing was done."""
        self._command, self._parked = command, parked
        with pipes.ends(*streams) as ends:
            launch = self._launch if command.is_plain else self._launch_with_more
            if not launch(command, command.joined, ends.child, wait_exec=wait_exec):
                return False
            self.stdin, self.stdout, self.stderr = ends.take(text)
            return True

    def _launch_with_more(
        self,
        command: Command,
        joined: Mapping[int, int],
        standard: Sequence[int],
        *,
        wait_exec: bool,
    ) -> bool:
        """`_launch` it with what is only open meanwhile."""
        with (
            command.opened(self.port) as opened,
            Channel(wanted=command.terminal) as channel,
            Listener(command.handler) as listener,
        ):
            given = {**joined, **opened, **channel.given, **listener.given}
            if not self._launch(command, given, standard, wait_exec=wait_exec):
                return False
            self.terminal = channel.receive()
            return True

    def _launch(
        self,
        command: Command,
        given: Mapping[int, int],
        standard: Sequence[int],
        *,
        wait_exec: bool,
    ) -> bool:
        """Have it started by C, with these descriptors; False as `_start` says."""
        if self._parked is None:
            launched = command.prepared(given, standard)
            self._own = command.own(launched)
        else:
            launched = self._parked.lend(command.strings, standard)
            self._own = self._parked.lent
        self._launched = launched
        try:
            launched.begin()
        except OutdatedError:
            self._launched = None
            return False
        except BaseException:
            if os.getpid() == self._starter:
                self._own.remove()
            raise
        if launched.pidfd < 0:
            self._launched = None
            if command.anew is not None and launched.outcome.step < command.ready.checks:
                return False
            self._fail(launched.outcome)
        self.pid = launched.pid
        if wait_exec:
            self._wait_exec(launched)
        if self.published is not None:
            self.published.serve(launched.pidfd)
        return True

    def _fail(self, outcome: Outcome) -> NoReturn:
        """Tell of a start that came to nothing, and leave nothing of it."""
        self._own.remove()
        raise self._command.failure(outcome.step, outcome.error)

    def _wait_exec(self, launched: _native.Launched) -> None:
        """Wait until the command's program runs; whatever failed leaves nothing."""
        try:
            launched.wait_exec()
        except BaseException:
            self._abandon()
            raise
        if launched.outcome.error:
            while not self._end(None):
                pass

    def fileno(self) -> int:
        """Return the pidfd of the box's first process: readable once the box has ended."""
        pidfd = -1 if self._launched is None else self._launched.pidfd
        if pidfd < 0:  # maybe by a thread that waits for the end, just now
            raise ValueError("the process has ended and its descriptor is closed")
        return pidfd

    def poll(self) -> int | None:
        """Return the return code if the command has ended, else None."""
        if self.returncode is None and self._waiting.acquire(blocking=False):
            try:
                self._end(0)
            finally:
                self._waiting.release()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the command, and so of its box; return its return code.

        Raises `subprocess.TimeoutExpired` after `timeout` seconds, and `StepError` where it turns
        out that the command could not be started.
        """
        if not self._wait_until(_deadline(timeout)):
            raise self._expired(timeout)
        assert self.returncode is not None
        return self.returncode

    def communicate(
        self,
        input: Any = None,  # noqa: A002
        timeout: float | None = None,
        *,
        output_max: int | None = None,
    ) -> tuple[Any, Any]:
        """Send `input`, read both pipes to their end and wait, as `subprocess.Popen` does.

        Raises `OutputExceeded` once more than `output_max` bytes came from both together; as after
        a timeout, the command goes on then, and what was read is kept.
        """
        if self._exchange is None and self.stdin is self.stdout is self.stderr is None:
            self.wait(timeout)
            return None, None
        deadline = _deadline(timeout)
        if self._exchange is not None and input:
            raise ValueError("Cannot send input after starting communication")
        if self._exchange is None:
            outputs = [stream for stream in (self.stdout, self.stderr) if stream is not None]
            self._exchange = pipes.Exchange(self.stdin, outputs, input)
        whole = self._exchange.run(deadline, output_max)
        if output_max is not None and self._exchange.overfull:
            raise OutputExceeded(self.args, output_max, *self._so_far())
        if not whole or not self._wait_until(deadline):
            raise self._expired(timeout)
        return self._exchange.output(self.stdout), self._exchange.output(self.stderr)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command; the box's first process passes it on. No-op at the end.

        SIGKILL ends the box, as `kill` does.
        """
        launched = self._launched  # another thread may learn of the end just now
        if self.poll() is None and launched is not None:
            never_caught: dict[int, int] = {
                signal.SIGKILL: self._command.end_signal,
                signal.SIGSTOP: self._command.stop_signal,
            }
            launched.send_signal(never_caught.get(sig, sig))
            if sig == signal.SIGKILL and self._own.groups:
                self._own.groups.thaw()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the box at once: the command and all that it started. A frozen box is thawed."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End the box if it still runs, and close everything. Twice is harmless."""
        if self.returncode is None and self._launched is not None:
            self._abandon()
        for stream in (self.stdin, self.stdout, self.stderr, self.terminal):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_launched", None) is None or self.returncode is not None:
            return
        if os.getpid() == self._starter:
            warnings.warn(f"box of process {self.pid} was not ended", ResourceWarning, 2, self)
        self._abandon()

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"returncode={self.returncode}"
        return f"<Process {self.args!r} {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Process is a live handle; pickle the BoxSpec and the arguments instead")

    def _abandon(self) -> None:
        """End the box without a word about its outcome; in a fork of its starter, let go of it."""
        launched = self._launched
        if launched is None:
            return
        if os.getpid() != self._starter:
            self._launched = None
            launched.abandon()
            return
        if launched.pid < 0:  # it has failed, which was not told of yet
            self._launched = None
            self._own.remove()
            return
        launched.send_signal(self._command.end_signal)
        if self._own.groups:
            self._own.groups.thaw()
        with self._waiting, contextlib.suppress(StepError):  # a thread may be waiting for the end
            patience = _deadline(_PATIENCE)
            while self._launched is not None and not self._end(_left(patience)):
                if patience is not None and time.monotonic() >= patience:
                    launched.send_signal(signal.SIGKILL)  # it hears no other before an exec
                    patience = None

    def _end(self, timeout: float | None) -> bool:
        """Wait, and take down what the box reported; False where it has not ended yet."""
        launched = self._launched
        if launched is None:
            return True
        try:
            has_ended = launched.wait_end(timeout)
        except OSError:
            if self._launched is None:  # a signal handler has waited for it meanwhile
                return True
            raise
        if has_ended and self._launched is not None:
            self._take_down(launched)
        return has_ended or self._launched is None

    def _take_down(self, launched: _native.Launched) -> None:
        """Take down how it ended and what that cost, and remove what is left of it."""
        told = launched.told
        self.returncode, self.usage = told.code, usage_of(told)
        try:
            self._launched = None  # from here on it has ended, whatever interrupts the rest
            launched.settle()
            self._own.remove_left(told.groups_left)
            if self._parked is not None:
                self._parked.leave()
        except BaseException:
            self._own.remove()
            raise
        finally:
            self._disconnect()
        if told.error:
            raise self._command.failure(told.step, told.error)

    def _wait_until(self, deadline: float | None) -> bool:
        """Wait for the end; False where the deadline (`time.monotonic`) came first."""
        left = _left(deadline)
        if not self._waiting.acquire(
            timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)
        ):
            return False
        try:
            while self.returncode is None and not self._end(_left(deadline)):
                if deadline is not None and time.monotonic() >= deadline:
                    return False
        finally:
            self._waiting.release()
        return True

    def _expired(self, timeout: float | None) -> subprocess.TimeoutExpired:
        return subprocess.TimeoutExpired(self.args, timeout or 0, *self._so_far())

    def _so_far(self) -> list[bytes | None]:
        if self._exchange is None:
            return [None, None]
        return [self._exchange.so_far(stream) for stream in (self.stdout, self.stderr)]

    def _disconnect(self) -> None:
        if self.published is not None:
            self.published.close()
        if self.port is not None:
            self.port.close()


_PATIENCE = 10.0
"""Seconds that a first process has to end its box when it is told to, before it is killed."""


def groups_of(process: Process) -> BoxGroups | None:
    """Return the groups that its box is in, if it is in any of its own."""
    return process._own.groups


def give_groups(process: Process) -> BoxGroups | None:
    """Return its groups for the caller to remove, who puts more into them than this box."""
    given = process._own.groups
    if given is not None:
        process._own = process._own.with_shared_groups()
    return given


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
