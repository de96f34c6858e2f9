"""A launch in C, in Python's own types: made ready, begun, waited for, ended.

What the child does between clone and exec is in the C files beside this one, as steps of a plan.
"""

import functools
import signal
from collections.abc import Callable, Sequence
from typing import Any

from nsbox._native.door import answer, ffi, lib
from nsbox._native.values import Encoded, Ending, Outcome, Told

INHERITED: int = lib.NSBOX_INHERITED
"""Less n: the caller's standard descriptor n, as it is left open by an exec; else nothing."""

ALL_INHERITED = (INHERITED, INHERITED - 1, INHERITED - 2)
"""All three of them."""

TOLD: int = lib.NSBOX_TOLD
"""What `Launched.run` returns where `Launched.told` has to be looked at."""

NOT_BEGUN: int = lib.NSBOX_NOT_BEGUN
"""`Told.ended` of a launch that has come to no process."""

DIGITS: int = lib.NSBOX_DIGITS
"""How many the number of a box has."""

SLOTS = 65
"""How many descriptors a plan can hold at once; ``SLOTS`` in page.h."""

_LAUNCH = ffi.typeof("struct nsbox_launch *")
_NUMBERS = ffi.typeof("int32_t[]")
_TOLD, _TOLD_AT = ffi.typeof("struct nsbox_told"), ffi.typeof("struct nsbox_told *")


class Strings:
    """A command and its environment in the form that C reads: each string ends with a NUL."""

    def __init__(self, argv: Sequence[bytes], environment: Sequence[bytes]) -> None:
        self._text = ffi.from_buffer(b"\0".join((*argv, *environment, b"")))
        content = self._text, len(self._text), len(argv), len(environment)
        self.pointer = ffi.new("struct nsbox_strings *", content)


class Launched:
    """A launch: prepared, then begun; it gets as far as a process, or fails at a step: `outcome`.

    `figures` are what it has come to as C writes them down, for `Told.of`. Whoever forgets it ends
    the process.
    """

    def __init__(self, request: Any, figures: bytearray, held: Any) -> None:
        self._request = request
        self.figures = figures
        self._held = held  # what the request points to

    @property
    def number(self) -> int:
        """That of the box, where its names have one: it is taken as it begins."""
        return int(self._request.number)

    def begin(self) -> None:
        """Carry out the plan: one call, without the GIL.

        Raises `OSError` where the launch itself could not be prepared (memory, descriptors); a step
        that failed is told by the outcome. Whatever a signal handler raises meanwhile is raised
        here, and what was started is ended.
        """
        try:
            answer(lib.nsbox_launch(self._request))
        except BaseException:
            self.abandon()
            raise

    def run(self) -> int:
        """Do that and wait for the end, in the same call; return what it has exited with.

        That is 0 to 255, and else `TOLD`: it has come to something else, or has not ended yet,
        after some milliseconds or at a signal. What a signal handler raises is raised with the
        process as it is.
        """
        result: int = lib.nsbox_run(self._request)
        return result if result >= 0 else answer(result)

    @property
    def caller(self) -> int:
        """The pid of whoever has begun it last, or 0."""
        return int(self._request.caller)

    @property
    def pid(self) -> int:
        """The pid of the box's first process, or -1."""
        return int(self._request.pid)

    @property
    def pidfd(self) -> int:
        """Its pidfd, or -1."""
        return int(self._request.pidfd)

    @property
    def outcome(self) -> Outcome:
        """What the box has reported so far; nothing in it is the caller's own observation."""
        # What is shared begins with it (page.h); a call to ask for it would give up the GIL.
        shared = self._request.memory
        told = ffi.cast("struct nsbox_outcome *", shared) if shared else self._request.outcome
        return Outcome(told.step, told.error)

    @property
    def told(self) -> Told:
        """What it has come to, once it has."""
        return Told.of(self.figures)

    def settle(self) -> None:
        """Take notice that it has ended: there is nothing to be let go of."""
        ffi.gc(self._request, None)  # which would give up the GIL

    def send_signal(self, sig: int) -> None:
        """Signal the first process; nothing is done where it has ended. See pidfd_send_signal(2).

        Another thread's `wait_end` may close the pidfd in the meantime.
        """
        result = lib.nsbox_signal(self._request, sig)
        if result != -_ESRCH:
            answer(result)

    def wait_exec(self) -> None:
        """Wait until the command's exec succeeded or it is certain that it will not."""
        result = -_EINTR
        while result == -_EINTR:
            result = lib.nsbox_wait_exec(self._request)
        answer(result)

    def hand(self, strings: Strings, descriptors: Sequence[int]) -> None:
        """Have ready what a parked box is to get: a command, with its standard descriptors."""
        given = ffi.new(_NUMBERS, descriptors)
        self._request.strings, self._request.descriptors = strings.pointer, given
        self._held = strings, given, self._held

    def release(self, socket: int) -> int:
        """Give it that, by the socket that it waits at; return 0, or -errno.

        ESTALE where it has failed or what it was made from has changed, E2BIG where there is no
        room for so long a command.
        """
        return int(lib.nsbox_release_parked(self._request, socket))

    @property
    def command(self) -> int:
        """The pidfd of the command of a box that was made ahead, once it was taken; or -1."""
        return int(self._request.command)

    def take_command(self, socket: int, timeout: float) -> None:
        """Wait until its command's process is there, for a sooner answer; `timeout` s at most."""
        lib.nsbox_take_command(self._request, socket, _milliseconds(timeout))

    @property
    def run_parked(self) -> Callable[[int, Any], int]:
        """What gives it a command with the caller's own standard streams, and waits for the answer.

        It takes a socket and `Strings.pointer`, and returns -errno where the box was not released;
        else as `run`. No function of Python's: to enter one takes long where it has not just been.
        """
        return functools.partial(lib.nsbox_run_parked, self._request)

    def wait_answer(self, socket: int, timeout: float | None) -> bool | None:
        """Wait for what a parked box tells; None when `timeout` is over, False if it has died."""
        result = lib.nsbox_wait_answer(self._request, socket, _milliseconds(timeout))
        if result in (-_ETIMEDOUT, -_EINTR):
            return None
        return answer(result) == 0

    def take_descriptor(self) -> int:
        """Return what a step has opened for the caller, who owns it from now on; or -1."""
        descriptor, self._request.descriptor = self._request.descriptor, -1
        return int(descriptor)

    def end(self) -> None:
        """Have the process end, unless it was waited for, and wait until it has."""
        lib.nsbox_end(self._request)

    def let_go(self) -> None:
        """Let go of all that is left, and leave the process to itself."""
        self._request.caller = -1  # it is nobody's to end
        lib.nsbox_release(self._request)

    def abandon(self) -> None:
        """`end` it, and let go of all that is left; so does whoever forgets the launch."""
        lib.nsbox_release(self._request)

    def wait_end(self, timeout: float | None) -> bool:
        """Wait for the first process's end and reap it; False when `timeout` (s) is over first.

        It may be False sooner, for signal handlers to have their turn: who has time asks again.
        All that the launch held is let go at the end.
        """
        result = lib.nsbox_wait_end(self._request, _milliseconds(timeout))
        if result in (-_ETIMEDOUT, -_EINTR):
            return False
        answer(result)
        return True


class Ready:
    """A plan and a command in C's form, from which any number of launches begin.

    The number of each is filled in at `places` of the plan's data, with the texts of its end behind
    it. The checks of the plan are left out if not `checked`; what was started is ended by
    `end_signal` where nobody holds its launch any longer.
    """

    def __init__(
        self,
        plan: Encoded,
        strings: Strings,
        ending: Ending = Ending(),
        *,
        places: Sequence[int] = (),
        end_signal: int = signal.SIGKILL,
        checked: bool = True,
    ) -> None:
        self._data = plan.data + ending.texts
        self.checks = plan.checks
        request = self._request = ffi.new(_LAUNCH)
        steps = ffi.from_buffer(plan.steps)
        numbered = ffi.new("uint32_t[]", places)
        self._held = steps, strings, numbered  # the request only points there
        request.strings = strings.pointer
        request.steps = ffi.cast("struct nsbox_step *", steps)
        request.step_count = plan.step_count
        request.first_step = 0 if checked else plan.checks
        request.checks = plan.checks
        request.data_size = size = len(plan.data)
        request.places, request.place_count = numbered, len(places)
        request.group_count = ending.folders
        request.peak = 0 if ending.peak is None else size + ending.peak
        request.kills = 0 if ending.kills is None else size + ending.kills
        request.first_process = first_process()
        request.end_signal = end_signal
        request.pid = request.pidfd = request.command = request.descriptor = -1
        request.peak_file.fd = request.kills_file.fd = -1

    def prepared(self, descriptors: Sequence[int], *, room: int = 0) -> Launched:
        """Prepare a launch.

        With `room`, bytes for a command and its environment, these come later: `Launched.hand` or
        `run_parked`.

        `descriptors` become 0, 1, 2 ... of the box's first process, and the first three may be
        `INHERITED`; the C fills in its own among them.
        """
        request = ffi.gc(ffi.new(_LAUNCH, self._request[0]), lib.nsbox_release)
        data = request.data = ffi.new("char[]", self._data)
        given = request.descriptors = ffi.new(_NUMBERS, descriptors)
        request.descriptor_count = len(descriptors)
        request.room = room
        figures = bytearray(ffi.sizeof(_TOLD))
        told = request.told = ffi.from_buffer(_TOLD_AT, figures)
        return Launched(request, figures, (self, data, given, told))


def launch(
    plan: Encoded,
    argv: Sequence[bytes],
    environment: Sequence[bytes],
    descriptors: Sequence[int],
) -> Launched:
    """Carry out a plan once: see `Ready`."""
    ready = Ready(plan, Strings(argv, environment))
    launched = ready.prepared(descriptors)
    launched.begin()
    return launched


@functools.cache
def first_process() -> int:
    """Return the descriptor of the first process's sealed image, made once and kept.

    Raises `OSError`: EACCES where the sysctl vm.memfd_noexec forbids it. See memfd_create(2).
    """
    return answer(lib.nsbox_first_process())


def forget_memory() -> None:
    """Let go of the memory that is kept for the next launch, and of its descriptor."""
    lib.nsbox_forget_memory()


def _milliseconds(timeout: float | None) -> int:
    return -1 if timeout is None else int(max(0, min(timeout * 1000 + 0.999, 2**31 - 1)))


_ESRCH, _EINTR, _ETIMEDOUT = 3, 4, 110
