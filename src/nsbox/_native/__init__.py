"""The one door to C: the only file that touches cffi objects.

What stands here is what `nsbox.process` needs of a launch, in Python's own types; what the child
does between clone and exec is in the C files beside this one, as steps of a plan.
"""

import functools
import os
import signal
from collections.abc import Sequence
from typing import Any, NamedTuple

try:
    from nsbox._native._shim import ffi, lib
except ImportError as error:
    if "subinterpreters" not in str(error):
        raise
    raise ImportError(
        "nsbox cannot be used in a subinterpreter that has a GIL of its own, for cffi cannot; in "
        "one that shares the GIL it can"
    ) from error

SLOTS = 64
"""How many descriptors a plan can hold at once; ``SLOTS`` in page.h."""


class Encoded(NamedTuple):
    """A plan in the form that C reads."""

    steps: bytes
    data: bytes
    step_count: int


class Outcome(NamedTuple):
    """What the box reported; nothing in it is the caller's own observation."""

    step: int
    error: int
    finished: bool
    status: int
    user_seconds: float
    system_seconds: float
    memory_peak: int


class Launched:
    """A launch that got as far as a process, or failed at a step: see `outcome`."""

    def __init__(self, request: Any) -> None:
        self._request = request

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
        """What the box has reported so far."""
        # What is shared begins with it (page.h); a call to ask for it would give up the GIL.
        told = ffi.cast("struct nsbox_outcome *", self._request.memory)
        return Outcome(
            told.step,
            told.error,
            told.finished == 1,
            told.status,
            told.user_us / 1e6,
            told.system_us / 1e6,
            told.peak_kib * 1024,
        )

    def wait_exec(self) -> None:
        """Wait until the command's exec succeeded or it is certain that it will not."""
        if self._request.started < 0:
            return
        try:
            result = -_EINTR
            while result == -_EINTR:
                result = lib.nsbox_wait_exec(self.pidfd, self._request.started)
            _answer(result)
        finally:
            lib.nsbox_close_started(self._request)

    def take_descriptor(self) -> int:
        """Return what a step has opened for the caller, who owns it from now on; or -1."""
        descriptor, self._request.descriptor = self._request.descriptor, -1
        return int(descriptor)

    def close(self) -> None:
        """Close what is open of a process that was waited for."""
        lib.nsbox_close(self._request)

    def end(self) -> None:
        """Have the process end, unless it was waited for, and wait until it has."""
        lib.nsbox_end(self._request)

    def abandon(self) -> None:
        """`end` it, and let go of all that is left; so does whoever forgets the launch."""
        lib.nsbox_release(self._request)

    def wait_end(self, timeout: float | None) -> tuple[int, float, float] | None:
        """Wait for the first process's end, reap it, return its exit code, user and system time.

        None when ``timeout`` (seconds) is over first.
        """
        milliseconds = (
            -1 if timeout is None else max(0, min(int(timeout * 1000 + 0.999), 2**31 - 1))
        )
        result = lib.nsbox_wait_end(self._request, milliseconds)
        if result in (-_ETIMEDOUT, -_EINTR):
            return None
        _answer(result)
        ended = self._request
        return ended.status, ended.user_us / 1e6, ended.system_us / 1e6


def launch(
    plan: Encoded,
    argv: Sequence[bytes],
    environment: Sequence[bytes],
    descriptors: Sequence[int],
    *,
    tell_of_exec: bool,
    end_signal: int = signal.SIGKILL,
) -> Launched:
    """Carry out a plan: one call, without the GIL.

    `descriptors` become 0, 1, 2 ... of the box's first process; the C fills in its own among them.
    Raises `OSError` where the launch itself could not be prepared (memory, descriptors); a step
    that failed is told by the outcome. Whatever a signal handler raises meanwhile is raised here,
    and what was started is ended by `end_signal`; so it is when nobody holds the launch any longer.
    """
    strings = b"".join(string + b"\0" for string in (*argv, *environment))
    steps = ffi.from_buffer(plan.steps)
    request = ffi.gc(ffi.new("struct nsbox_launch *"), lib.nsbox_release)
    request.steps = ffi.cast("struct nsbox_step *", steps)
    request.step_count = plan.step_count
    data = request.data = ffi.from_buffer(plan.data)
    request.data_size = len(plan.data)
    kept = request.strings = ffi.from_buffer(strings)
    request.strings_size = len(strings)
    request.argc = len(argv)
    request.envc = len(environment)
    given = request.descriptors = ffi.new("int32_t[]", descriptors)
    request.descriptor_count = len(descriptors)
    request.first_process = first_process()
    request.end_signal = end_signal
    launched = Launched(request)
    try:
        _answer(lib.nsbox_launch(request, tell_of_exec))
        del steps, data, kept, given  # held until here: the request only points at them
    except BaseException:
        launched.abandon()
        raise
    return launched


@functools.cache
def first_process() -> int:
    """Return the descriptor of the first process's sealed image, made once and kept.

    Raises `OSError`: EACCES where the sysctl vm.memfd_noexec forbids it. See memfd_create(2).
    """
    return _answer(lib.nsbox_first_process())


def capabilities() -> int:
    """Return the calling thread's effective capabilities as a mask. See capget(2)."""
    return int(lib.nsbox_capabilities())


@functools.cache
def syscalls() -> dict[str, int]:
    """Return the numbers of this architecture's system calls, by name. See syscalls(2)."""
    found, row = {}, lib.nsbox_syscalls()
    while row.name != ffi.NULL:
        found[ffi.string(row.name).decode()] = row.number
        row += 1
    return found


def ask(call: str) -> int:
    """Return what the kernel answers to a system call with impossible arguments: -errno or more.

    -ENOSYS means that this kernel has no such call, -EPERM that a filter keeps it from us.
    """
    return int(lib.nsbox_ask(call.encode()))


def open_beneath(
    root: int, path: bytes, flags: int, mode: int = 0, owner: tuple[int, int] = (-1, -1)
) -> int:
    """Open a path as one whose ``/`` is `root` would: openat2(2), RESOLVE_IN_ROOT.

    A file that is made is that of `owner`, a user and a group, or the caller's.
    """
    return _answer(lib.nsbox_open_beneath(root, path, flags, mode, *owner), path)


def make_beneath(
    folder: int, name: bytes, mode: int, owner: tuple[int, int], link: bytes | None = None
) -> None:
    """Make a folder, or a symbolic link to `link`, for `owner`. See mkdir(2), symlink(2)."""
    target = ffi.NULL if link is None else link
    _answer(lib.nsbox_make_beneath(folder, name, target, mode, *owner), name)


_EINTR, _ETIMEDOUT = 4, 110


def _answer(result: int, path: bytes | None = None) -> int:
    """Turn -errno into `OSError`."""
    if result < 0:
        name = None if path is None else os.fsdecode(path)
        raise OSError(-result, os.strerror(-result), name)
    return result
