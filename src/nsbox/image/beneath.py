"""Folders beneath a root, reached by descriptors: no link leads out, whatever is put in the way.

What openat2(RESOLVE_IN_ROOT) does, done name by name: each folder is opened by its name alone, from
the descriptor of the one above, with O_NOFOLLOW. A link is read and its target walked from the
root. The descriptors of the last folders are kept, so that a file costs no walk.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from nsbox.errors import ImageError

Path = tuple[bytes, ...]

MAX_DEPTH = 255
MAX_LINKS = 40
_KEPT = 64
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def names(path: bytes) -> Path:
    """Split a path as an archive has it; a ``..`` or a name that no file has is refused."""
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise ImageError("the name has a '..' in it")
    if len(parts) > MAX_DEPTH:
        raise ImageError(f"the name is more than {MAX_DEPTH} folders deep")
    return parts


class NotAFolderError(ImageError):
    """What stands where a folder should be on the way."""


class Beneath:
    """The folders below a root; made by whoever unpacks into it, and closed by it.

    `missing` is called for a folder that is not there (the descriptor of the one above, its path)
    and makes it, or returns the target of the link that it finds should be there; `entered` is
    called when a folder's descriptor is opened.
    """

    def __init__(
        self,
        root: str,
        missing: Callable[[int, Path], bytes | None],
        entered: Callable[[int, Path], None],
    ) -> None:
        self.root = os.open(root, _FOLDER)
        self._missing, self._entered = missing, entered
        self._kept: OrderedDict[Path, int] = OrderedDict()
        self._resolved: dict[Path, Path] = {}
        entered(self.root, ())

    def close(self) -> None:
        """Close all that is open."""
        self.forget()
        if self.root >= 0:
            os.close(self.root)
        self.root = -1

    def forget(self) -> None:
        """Let go of what is known: a folder or a link was removed, and may come back as another."""
        while self._kept:
            os.close(self._kept.popitem()[1])
        self._resolved.clear()

    def resolve(self, path: Path) -> Path:
        """Return the folder that a path leads to, its links followed within the root."""
        found = self._resolved.get(path)
        if found is None:
            found = self._walk(path)
            if len(self._resolved) >= 1024:
                self._resolved.clear()
            self._resolved[path] = found
        return found

    def descriptor(self, path: Path) -> int:
        """Return the descriptor of a resolved folder; good until the next call."""
        if not path:
            return self.root
        fd = self._kept.get(path)
        if fd is not None:
            self._kept.move_to_end(path)
            return fd
        known = len(path) - 1
        while known and path[:known] not in self._kept:
            known -= 1
        fd = self._kept[path[:known]] if known else self.root
        for depth in range(known + 1, len(path) + 1):
            fd = self._keep(path[:depth], os.open(path[depth - 1], _FOLDER, dir_fd=fd))
        return fd

    def _keep(self, path: Path, fd: int) -> int:
        self._kept[path] = fd
        if len(self._kept) > _KEPT:
            os.close(self._kept.popitem(last=False)[1])
        self._entered(fd, path)
        return fd

    def _walk(self, path: Path) -> Path:
        done: Path = ()
        left = list(reversed(path))
        links = 0
        while left:
            name = left.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                done = done[:-1]
                continue
            target = self._step(done, name)
            if target is None:
                done = (*done, name)
                continue
            links += 1
            if links > MAX_LINKS:
                raise ImageError("too many symbolic links on the way to it")
            left += reversed(target.split(b"/"))
            done = () if target.startswith(b"/") else done
            if len(left) + len(done) > 4096:
                raise ImageError("the name becomes too long by its symbolic links")
        if len(done) > MAX_DEPTH:
            raise ImageError(f"the name is more than {MAX_DEPTH} folders deep")
        return done

    def _step(self, done: Path, name: bytes) -> bytes | None:
        """Go one folder down; or return the target of the link that is there."""
        path = (*done, name)
        if path in self._kept:
            return None
        above = self.descriptor(done)
        for _ in range(2):
            try:
                self._keep(path, os.open(name, _FOLDER, dir_fd=above))
            except (FileNotFoundError, NotADirectoryError):
                if _is_link(name, above):
                    return os.readlink(name, dir_fd=above)
                target = self._missing(above, path)
                if target is not None:
                    return target
            else:
                return None
        raise NotAFolderError(f"{os.fsdecode(b'/'.join(path))!r} on the way to it is not a folder")


def _is_link(name: bytes, above: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
