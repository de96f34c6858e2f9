"""What "gone" looks like in an unpacked layer: marks for an overlay mount, or simply nothing."""

import errno
import os
import stat
from typing import Protocol

from nsbox.errors import UnsupportedError
from nsbox.image.beneath import Path
from nsbox.image.remove import remove

_OPAQUE = (b"trusted.overlay.opaque", b"user.overlay.opaque")


class Form(Protocol):
    """How the marks of a layer are carried out in the folder that it is unpacked to."""

    opaque_root: bool

    def made(self, path: Path) -> None:
        """Learn that the layer itself has a file here."""

    def is_whiteout(self, status: os.stat_result, /) -> bool:
        """Tell whether a file is such a mark."""

    def hides(self, path: Path, /) -> bool:
        """Tell whether the layer has made gone whatever the layers below it have here."""

    def whiteout(self, above: int, path: Path) -> bool:
        """Make a name of the layers below gone; return whether a way may lead elsewhere now."""

    def opaque(self, fd: int, path: Path) -> bool:
        """Make all gone that layers below have in a folder; return as `whiteout` does."""


class OverlayForm:
    """A layer by itself, to be mounted over those below it: filesystems/overlayfs of the kernel.

    A folder without what is below it bears an attribute: the one that a mount of root's looks for,
    where the caller may set it, and always the one that a mount in a user namespace looks for.
    """

    def __init__(self) -> None:
        self.opaque_root = False
        self._gone: set[Path] = set()

    def made(self, path: Path) -> None:
        """Nothing: what the layer has is all there is here."""

    def is_whiteout(self, status: os.stat_result, /) -> bool:
        """Tell whether it is a character device 0:0."""
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0

    def hides(self, path: Path) -> bool:
        """Tell whether it, or a folder that it is in, was said to be gone."""
        return bool(self._gone) and any(path[:n] in self._gone for n in range(len(path) + 1))

    def whiteout(self, above: int, path: Path) -> bool:
        """Make a character device 0:0; where the layer has a folder of that name, it hides."""
        name = path[-1]
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=above)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                self._mark(b"/proc/self/fd/%d/%b" % (above, name))
        except PermissionError:
            raise UnsupportedError(
                "whiteouts: a caller without CAP_MKNOD can make them from Linux 5.8 on"
            ) from None
        return self._hide(path)

    def opaque(self, fd: int, path: Path) -> bool:
        """Mark a folder. A root's mark is not looked at, so whoever mounts it must know."""
        if path:
            self._mark(b"/proc/self/fd/%d" % fd)
        else:
            self.opaque_root = True
        return self._hide(path)

    def _hide(self, path: Path) -> bool:
        """Remember it; return whether that is new: links below it are followed no more."""
        known = path in self._gone
        self._gone.add(path)
        return not known

    def _mark(self, path: bytes) -> None:
        trusted, user = _OPAQUE
        try:
            os.setxattr(path, trusted, b"y")
            marked = True
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP):
                raise
            marked = False
        try:
            os.setxattr(path, user, b"y")
        except OSError as error:
            if error.errno != errno.ENOTSUP or not marked:
                raise UnsupportedError(
                    f"the store's file system takes no extended attributes ({error.strerror}), "
                    "which opaque folders need"
                ) from None


class FlatForm:
    """All layers in one folder: what a layer says is gone is removed, unless it is its own."""

    def __init__(self) -> None:
        self.opaque_root = False
        self._own: set[Path] = set()

    def made(self, path: Path) -> None:
        """Remember what the layer itself has, with the folders that it is in."""
        while path not in self._own:
            self._own.add(path)
            path = path[:-1]

    def is_whiteout(self, _: os.stat_result, /) -> bool:
        """Tell that none is: nothing takes their place."""
        return False

    def hides(self, _: Path, /) -> bool:
        """Tell that nothing is hidden: what is gone is not there."""
        return False

    def whiteout(self, above: int, path: Path) -> bool:
        """Remove a name of the layers below."""
        return self._remove(above, path)

    def opaque(self, fd: int, path: Path) -> bool:
        """Remove all that the layers below have in a folder."""
        return self._clear(fd, path)

    def _clear(self, fd: int, path: Path) -> bool:
        changed = False
        for name in os.listdir(b"/proc/self/fd/%d" % fd):
            changed = self._remove(fd, (*path, name)) or changed
        return changed

    def _remove(self, above: int, path: Path) -> bool:
        if path not in self._own:
            try:
                remove(path[-1], above)
            except FileNotFoundError:
                return False
            return True
        try:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path[-1], flags, dir_fd=above)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return self._clear(fd, path)
        finally:
            os.close(fd)
