"""What the layers below look like, one over the other, without mounting them."""

import os
import stat
from collections.abc import Sequence

import attrs

from nsbox.errors import ImageError
from nsbox.image.beneath import MAX_LINKS, Path
from nsbox.image.span import MAX_DOCUMENT

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class Found:
    """A file of the merged tree: in which layer it is, its status, a link's target."""

    layer: str
    path: Path
    status: os.stat_result
    target: bytes | None = None


class Merged:
    """Unpacked layers, the lowest first, as an overlay mount of them would show them."""

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = tuple(layers)
        self._found: dict[Path, Found | None] = {}

    def find(self, path: Path) -> Found | None:
        """Return what has this name; no link is followed."""
        if path not in self._found:
            self._found[path] = self._look(path)
        return self._found[path]

    def follow(self, path: str) -> Found | None:
        """Return what a path leads to, links followed as a process would whose / the tree is."""
        done: Path = ()
        left = [os.fsencode(part) for part in reversed(path.split("/"))]
        found: Found | None = None
        links = 0
        while left:
            name = left.pop()
            if name == b"..":
                done = done[:-1]
            if name in (b"", b".", b".."):
                continue
            found = self.find((*done, name))
            if found is None:
                return None
            if found.target is None:
                done = (*done, name)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            left += reversed(found.target.split(b"/"))
            done = () if found.target.startswith(b"/") else done
        return self.find(done) if done else None

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None where there is no such file."""
        found = self.follow(path)
        if found is None or not stat.S_ISREG(found.status.st_mode):
            return None
        if found.status.st_size > MAX_DOCUMENT:
            raise ImageError(f"{path} has {found.status.st_size} bytes, too many to read")
        folder = _open(found.layer, found.path[:-1])
        try:
            fd = os.open(found.path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def is_empty(self, path: str) -> bool:
        """Tell whether no layer has anything in this folder, or no such folder."""
        found = self.follow(path)
        if found is None or not stat.S_ISDIR(found.status.st_mode):
            return found is None
        for layer in self._layers:
            try:
                folder = _open(layer, found.path)
            except OSError:
                continue
            try:
                if os.listdir(f"/proc/self/fd/{folder}"):
                    return False
            except PermissionError:
                return False  # of somebody else's of the user's subordinate ids
            finally:
                os.close(folder)
        return True

    def _look(self, path: Path) -> Found | None:
        for layer in reversed(self._layers):
            found, hides = _look_in(layer, path)
            if found is not None or hides:
                return found
        return None


def _look_in(layer: str, path: Path) -> tuple[Found | None, bool]:
    """Look in one layer: what is there, or whether it hides what is below it."""
    opaque = False
    fd = os.open(layer, _FOLDER)
    try:
        for depth, name in enumerate(path, 1):
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return None, opaque
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                return None, True
            if depth == len(path):
                is_link = stat.S_ISLNK(status.st_mode)
                target = os.readlink(name, dir_fd=fd) if is_link else None
                return Found(layer, path, status, target), True
            if not stat.S_ISDIR(status.st_mode):
                return None, True
            below = os.open(name, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
            opaque = opaque or _is_opaque(fd)
    finally:
        os.close(fd)
    return None, opaque


def _is_opaque(fd: int) -> bool:
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(f"/proc/self/fd/{fd}", name) == b"y":
                return True
        except OSError:
            continue
    return False


def _open(layer: str, path: Path) -> int:
    fd = os.open(layer, _FOLDER)
    for name in path:
        try:
            below = os.open(name, _FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd
