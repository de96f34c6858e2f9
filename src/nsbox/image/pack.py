"""A folder packed as a layer's archive: entries in order of their names, nothing left to chance.

Reads by descriptors and follows no link, so that a folder that somebody works in cannot make it
read elsewhere.
"""

import errno
import os
import stat
from collections.abc import Iterator

import attrs

from nsbox.errors import UnsupportedError
from nsbox.image.entry import OPAQUE, OVERLAY_PREFIXES, WHITEOUT, Entry, Kind
from nsbox.image.header import END, RECORD, header
from nsbox.image.metadata import NOT_TAKEN
from nsbox.image.span import BLOCK

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFDIR: Kind.FOLDER,
    stat.S_IFIFO: Kind.FIFO,
}
"""What an archive has a type for: all but sockets."""


_WITHOUT = (errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.ELOOP, errno.EPERM)
"""A file system, or a kind of file, that has no extended attributes."""


@attrs.frozen
class Packing:
    """How a folder is packed.

    `mtime` (seconds) takes the place of all times where it is not None. `own_to_root` gives root
    what is the caller's: in an ordinary user's box it is. `overlay` reads an overlay's upper
    directory, and writes its marks as OCI's whiteouts.
    """

    mtime: int | None = None
    own_to_root: bool = False
    overlay: bool = False


def pack(folder: str | os.PathLike[str], packing: Packing) -> Iterator[bytes]:
    """Pack a folder; the blocks of an archive. Raises `OSError` for what cannot be read."""
    return _Packer(packing).archive(folder)


class _Packer:
    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._links: dict[tuple[int, int], bytes] = {}

    def archive(self, folder: str | os.PathLike[str]) -> Iterator[bytes]:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            entry = self._described(b"./", Kind.FOLDER, os.fstat(fd), fd)
            yield header(entry)
            yield from self._folder(fd, b"")
        finally:
            os.close(fd)
        yield END

    def _folder(self, fd: int, prefix: bytes) -> Iterator[bytes]:
        if self._packing.overlay and _is_opaque(fd):
            yield header(self._mark(prefix + OPAQUE))
        for text in sorted(map(os.fsencode, os.listdir(fd))):
            yield from self._file(fd, text, prefix + text)

    def _file(self, above: int, name: bytes, path: bytes) -> Iterator[bytes]:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        if self._packing.overlay and _is_whiteout(above, name, status):
            yield header(self._mark(path[: -len(name)] + WHITEOUT + name))
        elif kind is Kind.FOLDER:
            fd = os.open(name, _FOLDER, dir_fd=above)
            try:
                yield header(self._described(path + b"/", kind, os.fstat(fd), fd))
                yield from self._folder(fd, path + b"/")
            finally:
                os.close(fd)
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in self._links:
            entry = self._described(path, Kind.HARD_LINK, status, None)
            entry.link = self._links[status.st_dev, status.st_ino]
            yield header(entry)
        elif kind is Kind.FILE:
            yield from self._regular(above, name, path)
        else:
            self._remember(status, path)
            target = b"/proc/self/fd/%d/%b" % (above, name)
            entry = self._described(path, kind, status, target)
            if kind is Kind.SYMLINK:
                entry.link = os.readlink(name, dir_fd=above)
            yield header(entry)

    def _regular(self, above: int, name: bytes, path: bytes) -> Iterator[bytes]:
        fd = os.open(name, _FILE, dir_fd=above)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(f"{os.fsdecode(path)!r} was replaced while it was packed")
            self._remember(status, path)
            entry = self._described(path, Kind.FILE, status, fd)
            entry.size = left = status.st_size
            yield header(entry)
            while left:
                block = os.read(fd, min(left, BLOCK))
                block = block or bytes(min(left, BLOCK))  # it became shorter meanwhile
                left -= len(block)
                yield block
            yield bytes(-status.st_size % RECORD)
        finally:
            os.close(fd)

    def _remember(self, status: os.stat_result, path: bytes) -> None:
        if status.st_nlink > 1:
            self._links[status.st_dev, status.st_ino] = path

    def _described(
        self, name: bytes, kind: Kind, status: os.stat_result, target: int | bytes | None
    ) -> Entry:
        owner = {os.geteuid(): 0} if self._packing.own_to_root else {}
        group = {os.getegid(): 0} if self._packing.own_to_root else {}
        is_device = kind in (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE)
        mtime = self._packing.mtime
        return Entry(
            name,
            kind,
            stat.S_IMODE(status.st_mode),
            owner.get(status.st_uid, status.st_uid),
            group.get(status.st_gid, status.st_gid),
            mtime_ns=status.st_mtime_ns if mtime is None else mtime * 10**9,
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
            xattrs={} if target is None else self._attributes(target, name),
        )

    def _attributes(self, target: int | bytes, name: bytes) -> dict[bytes, bytes]:
        found = {}
        for attribute, value in _read_attributes(target).items():
            if not attribute.startswith(OVERLAY_PREFIXES):
                found[attribute] = value
            elif self._packing.overlay and attribute.endswith((b".redirect", b".metacopy")):
                raise UnsupportedError(
                    f"{os.fsdecode(name)!r}: an upper folder of an overlay that was mounted with "
                    "redirect_dir or metacopy is not all of a layer"
                )
        return found

    def _mark(self, name: bytes) -> Entry:
        return Entry(name, Kind.FILE, 0o600, mtime_ns=(self._packing.mtime or 0) * 10**9)


def _is_opaque(fd: int) -> bool:
    """Tell whether a folder is opaque, to a mount of root's or in a user namespace."""
    found = _read_attributes(fd)
    return any(found.get(start + b"opaque") == b"y" for start in OVERLAY_PREFIXES)


def _is_whiteout(above: int, name: bytes, status: os.stat_result) -> bool:
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return False
    found = _read_attributes(b"/proc/self/fd/%d/%b" % (above, name))
    return any(start + b"whiteout" in found for start in OVERLAY_PREFIXES)


def _read_attributes(target: int | bytes) -> dict[bytes, bytes]:
    follow = isinstance(target, int)
    found = {}
    try:
        for text in os.listxattr(target, follow_symlinks=follow):
            found[os.fsencode(text)] = os.getxattr(target, text, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
    return {name: found[name] for name in sorted(found) if name not in NOT_TAKEN}
