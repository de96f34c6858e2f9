"""Names of machines: one hosts(5) file for all that are on a bridge, changed under their eyes."""

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterable, Sequence

import attrs

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


def _servers(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError(f"nameservers: addresses, such as [{value!r}]")
    try:
        return tuple(str(ipaddress.ip_address(one)) for one in value)
    except ValueError as error:
        raise ValueError(f"nameservers: {error}") from None


def _domains(value: Iterable[str]) -> tuple[str, ...]:
    found = tuple(value)
    if isinstance(value, str) or not all(_NAME.fullmatch(one) for one in found):
        raise ValueError(f"search: names of domains, such as ['example.org'], not {value!r}")
    return found


@attrs.frozen
class Resolver:
    """What resolv.conf(5) says."""

    nameservers: tuple[str, ...] = attrs.field(default=(), converter=_servers)
    search: tuple[str, ...] = attrs.field(default=(), converter=_domains)

    def __bool__(self) -> bool:
        return bool(self.nameservers or self.search)

    def __str__(self) -> str:
        lines = [f"nameserver {one}\n" for one in self.nameservers]
        return "".join([*([f"search {' '.join(self.search)}\n"] if self.search else []), *lines])


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
        self._resolv: str | None = None
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

    @property
    def resolv(self) -> str | None:
        """The path of the resolv.conf(5) beside it, if there is one."""
        return self._resolv

    def resolve(self, resolver: Resolver) -> None:
        """Put a resolv.conf(5) beside it, for the machines that come."""
        path = os.path.join(self._folder, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(str(resolver))
        self._resolv = path

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
        for path in (self.path, self._resolv):
            if path is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
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
