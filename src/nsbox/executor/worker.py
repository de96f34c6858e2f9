"""One worker of an executor, from outside: its box, its socket, a call at a time."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from nsbox.errors import WorkerDied
from nsbox.executor.boxes import Boxes
from nsbox.executor.carry import dump_call, load_exception, load_result
from nsbox.executor.inside import WITH_CLOUDPICKLE, Head
from nsbox.executor.messages import Lost, Source, Watched, exactly, receive, send
from nsbox.executor.settings import Settings
from nsbox.process import Process
from nsbox.running import popen
from nsbox.usage import Usage
from nsbox.zygote import BECAME

PATIENCE = 10.0
"""How long (seconds) a worker may take to end a call's process, and what that has left."""

_MOST = 1 << 63
"""More than a call can have used, of anything."""

_SOURCE = resources.files("nsbox.executor").joinpath("inside.py")
_BEGIN = """\
import os, sys
fd, text, (end, other) = os.dup(0), b"", os.pipe()
os.dup2(end, 0)
os.close(end)
os.close(other)
sys.argv.append(str(fd))
size = int.from_bytes(os.read(fd, 4), "big")
while len(text) < size:
    text += os.read(fd, size - len(text)) or sys.exit(1)
exec(compile(text, "nsbox/executor/inside.py", "exec"))
"""
"""What the interpreter is started with: it takes the rest from its socket.

That is what it finds as its standard input, for a box of a pool is given nothing beside such. Calls
find there a pipe that has ended.
"""


class Outcome(NamedTuple):
    """What came of a call: its value, or the exception that it raised, and what it cost."""

    value: Any
    error: BaseException | None
    usage: Usage | None


class Worker:
    """An interpreter in a box. Starting it does not wait for it; its first call does.

    Raises `StepError` where the box, or the interpreter in it, could not be started.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._able: Head | None = None
        self._imports = False  # calls need cloudpickle
        self._busy = False  # something of the last call may be left in the box
        self._boxes = Boxes.of(settings)
        self._control, theirs = socket.socketpair()
        try:
            self._process = _start(settings, self._boxes, theirs)
        except BaseException:
            self._control.close()
            self._boxes.close()
            raise
        finally:
            theirs.close()
        self._boxes.adopt(self._process)
        with contextlib.suppress(Lost, OSError):  # it has ended already: `_ready` finds out
            source = _SOURCE.read_bytes()
            self._control.sendall(len(source).to_bytes(4, "big") + source)
            first = settings.first_message(self._boxes.entered)
            send(self._control, first, self._boxes.message, None)

    @property
    def alive(self) -> bool:
        """Whether it can take another call, as far as is known."""
        return self._control.fileno() >= 0 and self._process.poll() is None

    def call(self, call: tuple[Any, ...]) -> Outcome:
        """Have a function called, and wait for what comes of it.

        Raises `WorkerDied`, `TimeoutError`, and whatever pickle does. `rest` must follow.
        """
        able = self._able = self._able or self._ready()
        how = bool(able.get("cloudpickle"))
        body = dump_call(call, cloudpickle=how, magic=str(able.get("magic")))
        self._imports = self._imports or b"cloudpickle" in body
        channel = self._channel()
        started = time.monotonic()
        deadline = None if self._settings.timeout is None else started + self._settings.timeout
        try:
            try:
                send(channel, {"cloudpickle": how}, body, deadline)
            except Lost:
                if self._boxes.nursery is None:
                    raise  # else it may have said why
            del body
            self._boxes.prepare()
            became = True
            source: Source = channel
            if self._boxes.nursery is not None:
                source = Watched(channel, self._control, self._boxes.kill)
                became = exactly(source, 1, deadline) == BECAME
            head, answer = receive(source, self._settings.output_max, deadline)
        except Lost as error:
            raise self._died(str(error)) from None
        except TimeoutError:
            self._give_up()
            raise TimeoutError(f"the call took over {self._settings.timeout} s") from None
        except OSError:  # too much output
            self._give_up()
            raise
        finally:
            if channel is not self._control:
                channel.close()
        self._imports = self._imports or head.get("cloudpickle") is True
        if not became:
            failure = self._boxes.failure(head)
            raise failure or load_exception(head, answer, self._settings.results)
        usage = _usage(head, time.monotonic() - started)
        if head.get("kind") == "result":
            return Outcome(load_result(answer, self._settings.results), None, usage)
        return Outcome(None, load_exception(head, answer, self._settings.results), usage)

    def rest(self) -> None:
        """Wait until nothing of the call is left, or end what does not do so in good time."""
        if not self._settings.forks:
            if self._settings.isolation == "box":
                self.close()
        elif self._busy and self._status().get("again") is not True:
            self.close()
        self._boxes.end()

    def kill(self) -> None:
        """End the box at once, from another thread too; a call that waits then raises."""
        self._process.kill()
        self._boxes.stop()  # the worker's first process may lack the right to end another user's

    def close(self) -> None:
        """End the boxes, and let go of everything. Twice is harmless."""
        self._control.close()
        self._boxes.kill()
        self._process.close()
        self._boxes.close()

    def _ready(self) -> Head:
        """Wait until the interpreter has started. Raises what kept it from that."""
        try:
            head, body = receive(self._control, None, None)
        except Lost as error:
            raise self._died(str(error)) from None
        if head.get("kind") == "exception":
            self.close()
            raise load_exception(head, body, self._settings.results)
        return head

    def _channel(self) -> socket.socket:
        """Return what the call goes through: a socket of its own, where it gets its own process."""
        if not self._settings.forks:
            return self._control
        with self._boxes.begin() as namespaces:
            return self._open_channel(namespaces)

    def _open_channel(self, namespaces: Sequence[int]) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            word = WITH_CLOUDPICKLE if self._imports else b"C"
            socket.send_fds(self._control, [word], [theirs.fileno(), *namespaces])
        except OSError as error:
            ours.close()
            raise self._died(str(error)) from None
        finally:
            theirs.close()
        self._busy = True
        return ours

    def _give_up(self) -> None:
        """End a call that is not wanted any longer."""
        if not self._settings.forks:
            self.close()
            return
        if self._boxes.kill():
            return
        try:
            self._control.sendall(b"K")
        except OSError:
            self.close()

    def _status(self) -> Head:
        """Return how the call's process ended, once nothing of it is left; {} if unknown."""
        self._busy = False
        self._boxes.kill()  # or its process might stay, though it has answered or cannot any longer
        try:
            return receive(self._control, 0, time.monotonic() + PATIENCE)[0]
        except (Lost, OSError):
            return {}  # it has ended as well, or was stopped

    def _died(self, reason: str) -> WorkerDied:
        """Say how the process of a call has ended; if it was not the call's alone, be closed."""
        status = self._status() if self._busy else {}
        code = status.get("status")
        if self._boxes.nursery is not None and "errno" in status:
            return WorkerDied(f"the call's process was not started: {os.strerror(status['errno'])}")
        if status.get("again") is True and isinstance(code, int):
            return WorkerDied(f"the call's process {_ended(code)}", code)
        try:
            code = self._process.wait(0 if status else PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        usage = self._process.usage
        why = f"the worker {reason if code is None else _ended(code)}"
        if usage is not None and usage.oom_killed:
            why += ", for want of memory"
        return WorkerDied(why, code)


def _start(settings: Settings, boxes: Boxes, theirs: socket.socket) -> Process:
    # Nothing is imported from where the box can be written to: no folder of its own (-P), none of
    # a user's (-s), no bytecode (-B).
    command = [settings.interpreter, "-P", "-s", "-B", "-c", _BEGIN]
    streams: dict[str, Any] = {
        "stdin": theirs.fileno(),
        "stdout": settings.stdout,
        "stderr": settings.stderr,
    }
    try:
        if settings.pool is not None:
            return settings.pool.popen(command, **streams)
        spec = settings.spec if boxes.nursery is None else boxes.nursery.spec
        return popen(command, spec, cgroup=settings.cgroup, **streams)
    except FileNotFoundError as error:
        error.add_note(
            f"a worker needs {settings.interpreter} in its box: RootFS.system(python=True) shows it"
        )
        raise


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"


def _usage(head: Head, wall: float) -> Usage | None:
    """Return what the call's process told of itself."""
    match head.get("usage"):
        case [float() | int() as user, float() | int() as system, int() as peak]:
            if all(0 <= number < _MOST for number in (user, system, peak)):
                return Usage(wall, float(user), float(system), peak)
    return None
