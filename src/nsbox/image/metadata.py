"""Owners, modes, extended attributes and times put onto files; what cannot be is noted."""

import errno
import os
from collections import Counter

from nsbox.errors import ImageError
from nsbox.image.entry import OVERLAY_PREFIXES, Entry, Kind

NOT_TAKEN = (b"security.selinux",)
"""Extended attributes that belong to the host on which an image was made."""

_MAX_ID = 2**32 - 2
_REFUSED = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EINVAL,
    errno.ERANGE,  # of a name that is empty or too long
    errno.E2BIG,
    errno.ENOSPC,
}
_SHOWN = 8


class Notes:
    """What could not be unpacked as it is, counted by reason, with examples."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, reason: str, name: bytes) -> None:
        """Note that this entry was not, or not wholly, unpacked."""
        self._counts[reason] += 1
        if self._counts[reason] <= _SHOWN:
            self._examples.setdefault(reason, []).append(os.fsdecode(name))

    def lines(self) -> tuple[str, ...]:
        """Return a line of text for each reason."""
        return tuple(self._line(reason, count) for reason, count in self._counts.items())

    def _line(self, reason: str, count: int) -> str:
        more = ", ..." if count > _SHOWN else ""
        return f"{reason}: {count} ({', '.join(self._examples[reason])}{more})"


class Metadata:
    """Puts an entry's metadata onto the file made for it.

    In this order, for each undoes what comes before another: the owner (which takes set-user-ID
    bits and capabilities away), the mode, attributes, the times. See chown(2), capabilities(7).
    """

    def __init__(self, notes: Notes) -> None:
        self._ids = os.geteuid(), os.getegid()
        self._root = self._ids[0] == 0
        self._notes = notes

    def of_file(self, fd: int, entry: Entry) -> None:
        """Put it onto a regular file, by its descriptor."""
        if self._owned(entry):
            try:
                os.fchown(fd, entry.uid, entry.gid)
            except OSError as error:
                self._foreign(entry, error)
        os.fchmod(fd, entry.mode)
        if entry.xattrs:
            self._attributes(fd, entry)
        os.utime(fd, ns=clamped(entry.mtime_ns))

    def of_name(self, above: int, name: bytes, entry: Entry) -> None:
        """Put it onto a link, a device or a FIFO, by its name, which is not followed."""
        self.owner(above, name, entry)
        path = b"/proc/self/fd/%d/%b" % (above, name)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(path, entry.mode)  # made a moment ago, by us, in a folder that is ours
        self.attributes(above, name, entry)
        os.utime(name, ns=clamped(entry.mtime_ns), dir_fd=above, follow_symlinks=False)

    def owner(self, above: int, name: bytes, entry: Entry) -> None:
        """Give a file its owner, by its name, which is not followed."""
        if self._owned(entry):
            try:
                os.chown(name, entry.uid, entry.gid, dir_fd=above, follow_symlinks=False)
            except OSError as error:
                self._foreign(entry, error)

    def attributes(self, above: int, name: bytes, entry: Entry) -> None:
        """Set the attributes of a file, by its name, which is not followed."""
        if entry.xattrs:
            self._attributes(b"/proc/self/fd/%d/%b" % (above, name), entry)

    def clear_attributes(self, above: int, name: bytes) -> None:
        """Take from a folder that is there already what the one of a lower layer had."""
        path = b"/proc/self/fd/%d/%b" % (above, name)
        try:
            found = [os.fsencode(text) for text in os.listxattr(path, follow_symlinks=False)]
        except OSError:
            return  # of a file system without attributes
        for attribute in found:
            if not attribute.startswith(OVERLAY_PREFIXES) and attribute not in NOT_TAKEN:
                os.removexattr(path, attribute, follow_symlinks=False)

    def _owned(self, entry: Entry) -> bool:
        """Tell whether the file is to be given to somebody, and may be."""
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise ImageError(f"an owner that nobody can be: {entry.uid}, {entry.gid}")
        if not self._root and (entry.uid, entry.gid) not in (self._ids, (0, 0)):
            # What is root's becomes the caller's too, who is root in its own user namespaces.
            self._notes.add("made the caller's, for it may not give files away", entry.name)
        return self._root

    def _foreign(self, entry: Entry, error: OSError) -> None:
        """Note an owner that the caller's user namespace does not know."""
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise error
        self._notes.add("made the caller's, for their owners are not mapped here", entry.name)

    def _attributes(self, target: int | bytes, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(OVERLAY_PREFIXES) or name in NOT_TAKEN:
                self._notes.add("attributes of an overlay or of another host left out", entry.name)
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
                reason = f"without {os.fsdecode(name)} ({os.strerror(error.errno)})"
                self._notes.add(reason, entry.name)


def clamped(nanoseconds: int) -> tuple[int, int]:
    """Return the access and the modification time, as far as the kernel has room for them."""
    within = min(max(nanoseconds, -(1 << 31) * 10**9), (1 << 34) * 10**9)
    return within, within
