"""Files and trees copied from below one root to below another, either of them perhaps hostile.

Folder by folder and by descriptors, so that no link is followed that turns up meanwhile: a link is
copied as one, an entry is opened by its own name alone, what is written is always made anew. What
can only be copied as something else (a device, a FIFO, a socket) is left out and told of.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator

import attrs

from nsbox.beneath import FOLDER, Beneath, make_file, make_folder, make_link

MAX_DEPTH = 255
"""How many folders deep a tree is copied: each takes two descriptors while it is."""

_CHUNK = 1 << 20
_SPECIAL = "neither a regular file, a folder nor a link"
_NO_ROOM = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)


@contextlib.contextmanager
def outside() -> Iterator[Beneath]:
    """Hold the caller's own root, as long as the block lasts."""
    here = Beneath(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        yield here
    finally:
        here.close()


def copy(
    source: Beneath, path: str, target: Beneath, to: str, max_bytes: int | None = None
) -> None:
    """Copy what is at `path` below `source` to `to` below `target`; see `Box.copy_in`."""
    copier = _Copier(target.owner, max_bytes)
    with _open(source, path) as fd:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            _tree(copier, fd, path, target, to)
            return
        with contextlib.suppress(FileNotFoundError), target.held(to) as held:
            if stat.S_ISDIR(os.fstat(held).st_mode):
                to = os.path.join(to, os.path.basename(path))
        with target.parent(to) as (folder, name):
            copier.content(fd, folder, name)


def _tree(copier: "_Copier", fd: int, path: str, target: Beneath, to: str) -> None:
    with target.parent(to) as (folder, name):
        made = copier.folder(folder, name)
    with _open(target, to, FOLDER) as into:
        copier.entries(fd, into, _Where(path, to))
        if made:
            _keep(fd, into)
    if copier.left_out:
        raise shutil.Error(copier.left_out)


@contextlib.contextmanager
def _open(root: Beneath, path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = root.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@attrs.frozen
class _Where:
    """The names of what is being copied, for messages."""

    source: str
    target: str
    depth: int = 0

    def below(self, name: str) -> "_Where":
        source, target = (os.path.join(path, name) for path in (self.source, self.target))
        return _Where(source, target, self.depth + 1)


class _Copier:
    """One copy: whom it is made for, how much it may yet be, and what of it was left out."""

    def __init__(self, owner: tuple[int, int], max_bytes: int | None) -> None:
        self._owner = owner
        self._left = max_bytes
        self.left_out: list[tuple[str, str, str]] = []

    def entries(self, source: int, target: int, where: _Where) -> None:
        """Copy all that is in a folder; go on past what cannot be copied."""
        for name in os.listdir(source):
            below = where.below(name)
            try:
                self._entry(source, target, name, below)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise
                self.left_out.append((below.source, below.target, error.strerror or str(error)))

    def _entry(self, source: int, target: int, name: str, where: _Where) -> None:
        kind = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            self._link(source, target, name)
        elif stat.S_ISDIR(kind):
            if where.depth > MAX_DEPTH:
                raise OSError(errno.ENAMETOOLONG, f"more than {MAX_DEPTH} folders deep")
            self._folder(source, target, name, where)
        elif stat.S_ISREG(kind):
            with _entry(source, name, os.O_RDONLY | os.O_NONBLOCK) as fd:
                self.content(fd, target, name)
        else:
            raise OSError(errno.EINVAL, _SPECIAL)

    def _folder(self, source: int, target: int, name: str, where: _Where) -> None:
        with _entry(source, name, FOLDER) as fd:
            made = self.folder(target, name)
            with _entry(target, name, FOLDER) as into:
                self.entries(fd, into, where)
                if made:
                    _keep(fd, into)

    def folder(self, target: int, name: str) -> bool:
        """Make a folder unless there is one; return whether it was made."""
        try:
            make_folder(target, name, 0o700, self._owner)
        except FileExistsError:
            return False
        return True

    def content(self, source: int, target: int, name: str) -> None:
        """Copy a file that is open, in place of what bears this name in the target."""
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):  # another one by now
            raise OSError(errno.EINVAL, _SPECIAL)
        self._take(status.st_size)
        try:
            fd = make_file(target, name, 0o600, self._owner)
        except FileExistsError:
            os.unlink(name, dir_fd=target)
            fd = make_file(target, name, 0o600, self._owner)
        try:
            _pour(source, fd, status.st_size)
            _keep(source, fd)
        finally:
            os.close(fd)

    def _link(self, source: int, target: int, name: str) -> None:
        leads_to = os.readlink(name, dir_fd=source)
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        try:
            make_link(target, name, leads_to, self._owner)
        except FileExistsError:
            os.unlink(name, dir_fd=target)
            make_link(target, name, leads_to, self._owner)
        times = status.st_atime_ns, status.st_mtime_ns
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)

    def _take(self, size: int) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            raise OSError(errno.EFBIG, "more than max_bytes")


@contextlib.contextmanager
def _entry(folder: int, name: str, flags: int) -> Iterator[int]:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _pour(source: int, target: int, size: int) -> None:
    """Copy no more than there was at first: whoever adds to the file meanwhile could go on."""
    while size > 0:
        chunk = os.read(source, min(size, _CHUNK))
        if not chunk:
            return
        size -= len(chunk)
        left = memoryview(chunk)
        while left:
            left = left[os.write(target, left) :]


def _keep(source: int, target: int) -> None:
    """Give the copy its mode and times; set-user-ID bits would be another user's than they were."""
    status = os.fstat(source)
    os.chmod(target, stat.S_IMODE(status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
