"""Files below a root, by its descriptor: no link leads out of it, whoever changes it meanwhile.

The kernel resolves each path, by openat2(2) with RESOLVE_IN_ROOT: a link that begins with ``/``,
and any number of ``..``, end at the root. What is done to a name (made, removed, looked at) is done
by the descriptor of its folder, and never follows the name itself.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from nsbox import _native

FOLDER = os.O_RDONLY | os.O_DIRECTORY
_HANDLE = os.O_PATH
_CALLER = (-1, -1)


class Beneath:
    """A root that is held open; `owner` is whose its new files are, a user and a group.

    It owns the descriptor `fd`. Raises what `os` functions raise, with the path below the root.
    """

    def __init__(self, fd: int, owner: tuple[int, int] = _CALLER) -> None:
        self._fd = fd
        self.owner = owner

    @property
    def fd(self) -> int:
        """The root's descriptor. Raises `ValueError` once it is closed."""
        if self._fd < 0:
            raise ValueError("the root of the box is closed")
        return self._fd

    def close(self) -> None:
        """Let go of the root. Twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """Open a regular file or a folder, as open(2) would, and return its descriptor.

        Anything else is refused with EINVAL: whoever is in the box may have put a FIFO there, to
        keep the caller waiting.
        """
        # Not waiting here either: for a FIFO, or for the end of somebody's lease, see fcntl(2).
        fd = self._open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
        try:
            kind = os.fstat(fd).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise OSError(errno.EINVAL, "neither a regular file nor a folder", path)
            os.set_blocking(fd, True)
        except BaseException:
            os.close(fd)
            raise
        return fd

    @contextlib.contextmanager
    def held(self, path: str, *, follow: bool = True) -> Iterator[int]:
        """Hold whatever is there, as long as the block lasts; the descriptor is an O_PATH one."""
        fd = self._open(path, _HANDLE | (0 if follow else os.O_NOFOLLOW))
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Hold the folder that a path's last name is in; give its descriptor and that name."""
        pure = PurePosixPath(path)
        with self.held(str(pure.parent)) as fd:
            yield fd, pure.name or "."

    def make_folder(self, path: str, mode: int) -> None:
        """Make a folder. See mkdir(2)."""
        with _naming(path), self.parent(path) as (fd, name):
            make_folder(fd, name, mode, self.owner)

    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link. See symlink(2)."""
        with _naming(path), self.parent(path) as (fd, name):
            make_link(fd, name, target, self.owner)

    def remove_file(self, path: str) -> None:
        """Remove a file, or a link. See unlink(2)."""
        with _naming(path), self.parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    def remove_folder(self, path: str) -> None:
        """Remove a folder, which is empty. See rmdir(2)."""
        with _naming(path), self.parent(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def read_link(self, path: str) -> str:
        """Return where a symbolic link leads. See readlink(2); EINVAL for what is none."""
        with _naming(path), self.held(path, follow=False) as fd:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return os.readlink("", dir_fd=fd)

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        return _native.open_beneath(self.fd, os.fsencode(path), flags, mode, self.owner)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have errors name the whole path, whichever part of it they are about."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


def make_file(folder: int, name: str, mode: int, owner: tuple[int, int]) -> int:
    """Make a file that is not there yet, for its owner, and return its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return _native.open_beneath(folder, os.fsencode(name), flags, mode, owner)


def make_folder(folder: int, name: str, mode: int, owner: tuple[int, int]) -> None:
    """Make a folder in a folder, for its owner."""
    _native.make_beneath(folder, os.fsencode(name), mode, owner)


def make_link(folder: int, name: str, target: str, owner: tuple[int, int]) -> None:
    """Make a symbolic link in a folder, for its owner."""
    _native.make_beneath(folder, os.fsencode(name), 0, owner, os.fsencode(target))
