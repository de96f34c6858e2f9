"""A layer's archive unpacked beneath a folder, entry by entry."""

import errno
import os
import stat
from collections.abc import Callable

import attrs

from nsbox.errors import ImageError
from nsbox.image.beneath import Beneath, NotAFolderError, Path, names
from nsbox.image.entry import OPAQUE, WHITEOUT, Entry, Kind
from nsbox.image.forms import Form
from nsbox.image.limits import Limits
from nsbox.image.merged import Merged
from nsbox.image.metadata import Metadata, Notes, clamped
from nsbox.image.remove import remove
from nsbox.image.untar import Untar

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OF_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EMLINK)


@attrs.frozen
class Extracted:
    """What came of a layer: how much it was, what is not as it should be, and its root's mark."""

    entries: int
    size: int
    notes: tuple[str, ...]
    opaque_root: bool


def extract(
    archive: Untar, folder: str, form: Form, limits: Limits, below: Merged | None
) -> Extracted:
    """Unpack an archive into a folder, which nobody else works in meanwhile.

    `below` are the layers that this one goes on top of, if they are elsewhere: folders that an
    archive leaves out are made as they are there. Raises `ImageError` with the entry's name.
    """
    extractor = _Extractor(archive, folder, form, limits, below)
    try:
        for entry in archive:
            extractor.entry(entry)
        return extractor.finish()
    finally:
        extractor.close()


class _Extractor:
    def __init__(
        self, archive: Untar, folder: str, form: Form, limits: Limits, below: Merged | None
    ) -> None:
        self._archive, self._form, self._limits, self._below = archive, form, limits, below
        self._entries = self._size = 0
        self._notes = Notes()
        self._metadata = Metadata(self._notes)
        self._root = os.geteuid() == 0
        self._folders: dict[Path, tuple[int, int]] = {}  # modes and times, set when all is there
        self._beneath = Beneath(folder, self._missing, self._entered)
        self._makers: dict[Kind, Callable[[Entry, int, bytes], None]] = {
            Kind.FILE: self._file,
            Kind.SYMLINK: self._symlink,
            Kind.FIFO: self._special,
            Kind.CHAR_DEVICE: self._special,
            Kind.BLOCK_DEVICE: self._special,
        }

    def close(self) -> None:
        self._beneath.close()

    def entry(self, entry: Entry) -> None:
        """Unpack one entry, and say which it was if that fails."""
        try:
            self._count(entry)
            self._put(entry)
        except ImageError as error:
            raise ImageError(error.reason, entry=os.fsdecode(entry.name)) from None
        except OSError as error:
            if error.errno in _OF_NAMES:
                raise ImageError(str(error.strerror), entry=os.fsdecode(entry.name)) from None
            error.add_note(f"while unpacking {os.fsdecode(entry.name)!r}")
            raise

    def finish(self) -> Extracted:
        """Give folders the modes and times that they are to keep, the deepest first."""
        for path in sorted(self._folders, key=len, reverse=True):
            mode, mtime_ns = self._folders[path]
            try:
                held = b"/proc/self/fd/%d" % self._beneath.descriptor(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later entry took its place
            os.chmod(held, mode)
            os.utime(held, ns=clamped(mtime_ns))
        return Extracted(self._entries, self._size, self._notes.lines(), self._form.opaque_root)

    def _count(self, entry: Entry) -> None:
        self._entries += 1
        self._size += entry.size
        if self._entries > self._limits.entries:
            raise ImageError(f"more than {self._limits.entries} entries (limits: entries)")
        if self._size > self._limits.size:
            raise ImageError(f"more than {self._limits.size} bytes (limits: size)")

    def _put(self, entry: Entry) -> None:
        path = names(entry.name)
        if not path:
            self._put_root(entry)
            return
        if path[-1].startswith(WHITEOUT):
            self._whiteout(path[:-1], path[-1])
            return
        folder = self._beneath.resolve(path[:-1])
        path = (*folder, path[-1])
        self._form.made(path)
        if entry.kind is Kind.FOLDER:
            self._folder(entry, path)
        elif entry.kind is Kind.HARD_LINK:
            self._hard_link(entry, path)
        else:
            make = self._makers[entry.kind]
            try:
                make(entry, self._beneath.descriptor(folder), path[-1])
            except FileExistsError:
                self._displace(path)
                make(entry, self._beneath.descriptor(folder), path[-1])

    def _put_root(self, entry: Entry) -> None:
        if entry.kind is not Kind.FOLDER:
            raise ImageError("the root can be nothing but a folder")
        self._metadata.owner(self._beneath.root, b".", entry)
        self._metadata.attributes(self._beneath.root, b".", entry)
        self._folders[()] = entry.mode, entry.mtime_ns

    def _folder(self, entry: Entry, path: Path) -> None:
        above, name = self._beneath.descriptor(path[:-1]), path[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self._displace(path)
                above = self._beneath.descriptor(path[:-1])
                os.mkdir(name, 0o700, dir_fd=above)
            else:
                self._metadata.clear_attributes(above, name)
            if self._form.is_whiteout(status):
                self._form.whiteout(above, path)
        self._metadata.owner(above, name, entry)
        self._metadata.attributes(above, name, entry)
        self._folders[path] = entry.mode, entry.mtime_ns

    def _file(self, entry: Entry, above: int, name: bytes) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=above)
        try:
            for offset, piece in self._archive.content(entry):
                done = os.pwrite(fd, piece, offset)
                while done < len(piece):
                    done += os.pwrite(fd, piece[done:], offset + done)
            if entry.extents is not None:
                os.ftruncate(fd, entry.size)
            self._metadata.of_file(fd, entry)
        finally:
            os.close(fd)

    def _symlink(self, entry: Entry, above: int, name: bytes) -> None:
        if not entry.link:
            raise ImageError("a symbolic link to nothing")
        os.symlink(entry.link, name, dir_fd=above)
        self._metadata.of_name(above, name, entry)

    def _special(self, entry: Entry, above: int, name: bytes) -> None:
        """Make a FIFO or a device. See mknod(2)."""
        kind = {Kind.FIFO: stat.S_IFIFO, Kind.CHAR_DEVICE: stat.S_IFCHR}
        if not all(0 <= half < 1 << 20 for half in entry.device):
            raise ImageError("a device that cannot be: {}:{}".format(*entry.device))
        device = os.makedev(*entry.device)
        if entry.kind is not Kind.FIFO and device == 0:
            reason = "devices 0:0, which an overlay takes for whiteouts, left out"
            self._notes.add(reason, entry.name)
            return
        try:
            os.mknod(name, kind.get(entry.kind, stat.S_IFBLK) | 0o600, device, dir_fd=above)
        except PermissionError:
            self._notes.add("devices left out, for the caller may not make them", entry.name)
            return
        self._metadata.of_name(above, name, entry)

    def _hard_link(self, entry: Entry, path: Path) -> None:
        target = names(entry.link)
        if not target:
            raise ImageError("a hard link to the root")
        target = (*self._beneath.resolve(target[:-1]), target[-1])
        if target == path:
            return
        source = os.dup(self._beneath.descriptor(target[:-1]))
        try:
            status = os.stat(target[-1], dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) or self._form.is_whiteout(status):
                raise FileNotFoundError
            try:
                self._link(target[-1], source, path)
            except FileExistsError:
                self._displace(path)
                self._link(target[-1], source, path)
        except FileNotFoundError:
            where = os.fsdecode(entry.link)
            raise ImageError(f"a hard link to {where!r}, a file that the layer has not") from None
        finally:
            os.close(source)

    def _link(self, name: bytes, source: int, path: Path) -> None:
        above = self._beneath.descriptor(path[:-1])
        os.link(name, path[-1], src_dir_fd=source, dst_dir_fd=above, follow_symlinks=False)

    def _whiteout(self, path: Path, name: bytes) -> None:
        try:
            folder = self._beneath.resolve(path)
        except NotAFolderError:
            return  # the folder made way for something else, and with it all that was in it
        above = self._beneath.descriptor(folder)
        hidden = name[len(WHITEOUT) :]
        if name == OPAQUE:
            changed = self._form.opaque(above, folder)
        elif name.startswith(WHITEOUT + WHITEOUT):
            return  # what aufs kept for itself
        elif hidden in (b"", b".", b".."):
            raise ImageError("a whiteout of what is no name of a file")
        else:
            changed = self._form.whiteout(above, (*folder, hidden))
        if changed:
            self._beneath.forget()

    def _displace(self, path: Path) -> None:
        """Remove what is in the way of an entry."""
        above = self._beneath.descriptor(path[:-1])
        status = os.stat(path[-1], dir_fd=above, follow_symlinks=False)
        remove(path[-1], above)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._beneath.forget()

    def _entered(self, fd: int, path: Path) -> None:
        """Remember what a folder was like before anything is put into it."""
        if path in self._folders and self._root:
            return
        status = os.fstat(fd)
        mode = stat.S_IMODE(status.st_mode)
        self._folders.setdefault(path, (mode, status.st_mtime_ns))
        if not self._root and mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{fd}", mode | 0o700)

    def _missing(self, above: int, path: Path) -> bytes | None:
        """Make a folder that the archive leaves out, like the one in the layers below."""
        try:
            hidden = self._form.is_whiteout(os.stat(path[-1], dir_fd=above, follow_symlinks=False))
            if not hidden:
                return None  # something else is there: the caller will say so
            os.unlink(path[-1], dir_fd=above)
        except FileNotFoundError:
            hidden = False
        below = None if self._form.hides(path) else self._below
        found = None if below is None else below.find(path)
        if found is not None and found.target is not None:
            return found.target
        if found is not None and not stat.S_ISDIR(found.status.st_mode):
            return None
        os.mkdir(path[-1], 0o700, dir_fd=above)
        self._form.made(path)
        if hidden:
            self._form.whiteout(above, path)
        if found is None:
            self._folders[path] = 0o755, 0
        else:
            if self._root:
                os.chown(path[-1], found.status.st_uid, found.status.st_gid, dir_fd=above)
            self._folders[path] = stat.S_IMODE(found.status.st_mode), found.status.st_mtime_ns
        return None
