"""Reading and writing the files of groups: what is not there is None, what fails is told."""

import errno
import os

from nsbox import _native
from nsbox.procfs import decode

ABSENT = frozenset(
    {
        errno.ENOENT,
        errno.ENODEV,  # the group was removed
        errno.ESRCH,  # the task has ended
        errno.EOPNOTSUPP,  # a file that has nothing to say here, such as pressure when it is off
    }
)
_MOST = 1 << 16
_FULL = 2048


def read(path: str) -> str | None:
    """Return the text of a file, None where the group or the file is not there."""
    descriptor = open_to_read(path)
    if descriptor is None:
        return None
    try:
        return read_open(descriptor)
    finally:
        os.close(descriptor)


def open_to_read(path: str) -> int | None:
    """Open a file, None where the group or the file is not there."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def read_open(descriptor: int) -> str | None:
    """Return the text of an open file from its start, None where its group is gone."""
    parts = []
    place = 0
    try:
        while part := os.pread(descriptor, _MOST, place):
            parts.append(part)
            place += len(part)
            # Only long lists, such as cgroup.procs, come in parts: of nearly a page each.
            if len(part) < _FULL:
                break
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return decode(b"".join(parts))


def numbers(path: str) -> tuple[int, ...]:
    """Return the numbers in a file, one a line, as in ``cgroup.procs``; () where it is absent.

    A task outside of the caller's pid namespace is told as 0, and left out.
    """
    return tuple(pid for line in (read(path) or "").split() if (pid := int(line)))


def write(path: str, value: str) -> None:
    """Write a value in one write(2). Raises `OSError` with the path."""
    _native.write_text(path, value.encode())


def below(folder: str) -> list[str]:
    """List the groups directly below one, by name; () where it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if error.errno in ABSENT:
            return []
        raise


def walk(folder: str) -> list[str]:
    """List a group and all below it, each before its own children."""
    found = [folder]
    for one in found:
        found.extend(f"{one}/{name}" for name in below(one))
    return found
