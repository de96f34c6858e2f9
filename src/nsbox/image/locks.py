"""Locks of the layers of a store, among processes: flock(2), on a file beside each layer.

A layer that is used is locked shared, once for a process however many use it there; whoever unpacks
or removes it locks it alone. A process that dies lets go of its locks, whatever it was at.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator

import attrs


@attrs.define
class _Held:
    fd: int
    users: int


_held: dict[str, _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def alone(path: str) -> Iterator[int | None]:
    """Hold a lock alone; yield its descriptor, or None where somebody else has it.

    It is never waited for: who has it shared may have it for long.
    """
    fd = _open(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def share(path: str) -> None:
    """Hold a lock shared; each call goes with one of `release`. Waits for whoever unpacks."""
    with _guard:
        if path in _held:
            _held[path].users += 1
            return
    fd = _open(path, fcntl.LOCK_SH)
    assert fd is not None
    with _guard:
        if path in _held:
            os.close(fd)
            _held[path].users += 1
        else:
            _held[path] = _Held(fd, 1)


def release(path: str) -> None:
    """Undo one call of `share`."""
    with _guard:
        held = _held[path]
        held.users -= 1
        if not held.users:
            os.close(_held.pop(path).fd)


def _open(path: str, operation: int) -> int | None:
    """Open and lock a lock's file, and make sure that it is still the one of that name."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, operation)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass  # removed together with its layer
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
