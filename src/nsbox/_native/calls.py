"""What C asks the kernel for Python: calls that `os` has not."""

import errno
import functools
import os

from nsbox._native.door import answer, ffi, lib


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


def write_text(path: str, text: bytes) -> None:
    """Write to a file that is there, in one write(2). Raises `OSError` with the path."""
    name, result = os.fsencode(path), -errno.EINTR
    while result == -errno.EINTR:  # as `os.write` goes on after a signal, its handler called
        result = lib.nsbox_write_text(name, text, len(text))
    answer(result, name)


def open_beneath(
    root: int, path: bytes, flags: int, mode: int = 0, owner: tuple[int, int] = (-1, -1)
) -> int:
    """Open a path as one whose ``/`` is `root` would: openat2(2), RESOLVE_IN_ROOT.

    A file that is made is that of `owner`, a user and a group, or the caller's.
    """
    return answer(lib.nsbox_open_beneath(root, path, flags, mode, *owner), path)


def make_beneath(
    folder: int, name: bytes, mode: int, owner: tuple[int, int], link: bytes | None = None
) -> None:
    """Make a folder, or a symbolic link to `link`, for `owner`. See mkdir(2), symlink(2)."""
    target = ffi.NULL if link is None else link
    answer(lib.nsbox_make_beneath(folder, name, target, mode, *owner), name)
