"""Names of machines: one hosts(5) file for all that are on a bridge, changed under their eyes."""

import contextlib
import os
import re
from collections.abc import Sequence

from nsbox import leftovers
from nsbox.network.addresses import Interface

_HEAD = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

SLACK = 100
"""How many lines may be there for nothing before the file is written anew."""


def lines(addresses: Sequence[Interface], name: str | None) -> tuple[bytes, ...]:
    """Return a machine's lines; none for a name that hosts(5) cannot hold."""
    if name is None or not _NAME.fullmatch(name):
        return ()
    return tuple(f"{address.ip}\t{name}\n".encode() for address in addresses)


class HostsFile:
    """The file that the machines of a bridge see as /etc/hosts, bound there read only.

    A line is appended, or turned into a comment by its first byte: whoever reads meanwhile sees
    it as it was before or as it is after. It lies in a folder of its own for temporary files, for
    a file without a name on the host could not be bound in another mount namespace; `nsbox.reap`
    removes that of an owner who was killed.
    """

    def __init__(self) -> None:
        self._folder = leftovers.make_folder("hosts")
        self.path = os.path.join(self._folder, "hosts")
        self._fd = -1
        try:
            os.chmod(self._folder, 0o711)  # who is root in a box may be nobody here
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)
            os.fchmod(self._fd, 0o644)
            self._write(_HEAD, 0)
        except BaseException:
            self.close()
            raise
        self._size = len(_HEAD)
        self._places: dict[bytes, int] = {}
        self._dead = 0

    def add(self, line: bytes) -> None:
        """Add a line."""
        self._write(line, self._size)
        self._places[line] = self._size
        self._size += len(line)

    def remove(self, line: bytes) -> None:
        """Have a line be there no longer."""
        self._write(b"#", self._places.pop(line))
        self._dead += 1
        if self._dead > SLACK and self._dead > len(self._places):
            self._write_anew()

    def close(self) -> None:
        """Remove the file; machines that run still keep it. Twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(self._folder)

    def _write_anew(self) -> None:
        kept, self._places, self._size, self._dead = list(self._places), {}, len(_HEAD), 0
        for line in kept:
            self._places[line] = self._size
            self._size += len(line)
        self._write(_HEAD + b"".join(kept), 0)
        os.ftruncate(self._fd, self._size)

    def _write(self, content: bytes, place: int) -> None:
        while content:
            written = os.pwrite(self._fd, content, place)
            content, place = content[written:], place + written
