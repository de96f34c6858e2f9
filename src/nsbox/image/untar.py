"""Archives read: headers turned into entries, in one pass. See tar(5), and pax in POSIX.

Not `tarfile`, because it takes a broken header in the middle of an archive for its end.
"""

from collections.abc import Iterator
from typing import Protocol

from nsbox.errors import ImageError
from nsbox.image import pax, sparse
from nsbox.image.entry import Entry, Kind

RECORD = 512
MAX_EXTENSION = 1 << 20
"""The most bytes of the long names and pax records of one entry; Go's archive/tar has it for each.

Their headers are counted too, as any number of them may follow each other.
"""

_ZEROS = bytes(RECORD)
_KINDS = {kind.value: kind for kind in Kind} | {b"\0": Kind.FILE, b"7": Kind.FILE, b"S": Kind.FILE}
_HAS_CONTENT = (b"0", b"\0", b"7", b"S")


class Stream(Protocol):
    """What an archive is read from."""

    def read(self, count: int) -> bytes:
        """Return `count` bytes, fewer at the end."""

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Pass on exactly `count` bytes."""

    def skip(self, count: int) -> None:
        """Pass over exactly `count` bytes."""


class Untar:
    """The entries of an archive; the content of each is there until the next one is asked for.

    Raises `ImageError` for anything that is no archive. Global pax headers are passed over, as
    Go's archive/tar does it: what wrote the image reads it the same way.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0
        self.ended = False

    def __iter__(self) -> Iterator[Entry]:
        while (block := self._next_header()) is not None:
            extended: list[tuple[bytes, bytes]] = []
            room = MAX_EXTENSION
            while (flag := block[156:157]) in (b"x", b"X", b"g", b"L", b"K"):
                data = self._extension(number(block[124:136]), room)
                room -= RECORD + len(data)
                if flag in (b"x", b"X"):
                    extended += pax.records(data)
                elif flag != b"g":
                    extended.append(
                        (b"path" if flag == b"L" else b"linkpath", data.split(b"\0", 1)[0])
                    )
                following = self._next_header()
                if following is None:
                    raise ImageError("the archive ends after an extended header")
                block = following
            yield self._entry(block, extended)

    def content(self, entry: Entry) -> Iterator[tuple[int, memoryview]]:
        """Pass on the content of the entry just given: (offset, bytes), as it comes."""
        if entry.extents is None:
            yield from self._extent(0, self._left)
            return
        for offset, length in entry.extents:
            yield from self._extent(offset, length)

    @property
    def stored(self) -> int:
        """How many bytes the archive holds for the entry just given."""
        return self._left

    def _extent(self, offset: int, length: int) -> Iterator[tuple[int, memoryview]]:
        if length > self._left:
            raise ImageError("a sparse file says it has more content than the archive holds")
        self._left -= length
        for piece in self._stream.pieces(length):
            yield offset, piece
            offset += len(piece)

    def _next_header(self) -> bytes | None:
        if self._left or self._padding:
            self._stream.skip(self._left + self._padding)
            self._left = self._padding = 0
        block = self._stream.read(RECORD)
        if not block or block == _ZEROS:
            self.ended = bool(block)
            return None
        if len(block) < RECORD:
            raise ImageError("the archive is cut off in the middle of a header")
        _check_sum(block)
        return block

    def _expect(self, size: int) -> None:
        if size < 0:
            raise ImageError(f"an entry of {size} bytes")
        self._left, self._padding = size, -size % RECORD

    def _extension(self, size: int, room: int) -> bytes:
        if size > room:
            raise ImageError(f"an extended header of {size} bytes is too long")
        self._expect(size)
        data = self._stream.read(self._left)
        if len(data) < size:
            raise ImageError("the archive is cut off in the middle of an extended header")
        self._left = 0
        return data

    def _entry(self, block: bytes, extended: list[tuple[bytes, bytes]]) -> Entry:
        flag = block[156:157]
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345] and flag != b"S":
            name = _text(block[345:500]) + b"/" + name
        kind = _KINDS.get(flag)
        if kind is None:
            raise ImageError(
                f"an entry of the type {flag!r} cannot be unpacked", entry=_shown(name)
            )
        entry = Entry(
            name,
            kind,
            number(block[100:108]) & 0o7777,
            number(block[108:116]),
            number(block[116:124]),
            number(block[124:136]),
            number(block[136:148]) * 10**9,
            _text(block[157:257]),
        )
        if kind in (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE):
            entry.device = number(block[329:337]), number(block[337:345])
        if extended:
            pax.apply(entry, extended)
        if flag in (b"\0", b"0") and entry.name.endswith(b"/"):
            entry.kind = Kind.FOLDER  # as before POSIX
        self._expect(entry.size if flag in _HAS_CONTENT else 0)
        if entry.kind is not Kind.FILE:
            entry.size = 0
        self._find_extents(entry, block, extended)
        return entry

    def _find_extents(
        self, entry: Entry, block: bytes, extended: list[tuple[bytes, bytes]]
    ) -> None:
        if block[156:157] == b"S":
            entry.size, entry.extents = sparse.old_map(block, number, self._more)
        elif extended:
            entry.extents = sparse.pax_map(entry, extended, self._taken)
        if entry.extents is not None:
            sparse.check(entry, self._left)

    def _taken(self) -> bytes:
        """Take one record of the entry's content: a sparse file's map is in front of it."""
        if self._left < RECORD:
            raise ImageError("the map of a sparse file is cut off")
        self._left -= RECORD
        data = self._stream.read(RECORD)
        if len(data) < RECORD:
            raise ImageError("the archive is cut off in the middle of an entry")
        return data

    def _more(self) -> bytes:
        """Take one more header of a sparse file of the old form, before its content."""
        return self._stream.read(RECORD)


def number(field: bytes) -> int:
    """Read a number: octal digits, or binary where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise ImageError(f"a header with the number {field!r}") from None


def _check_sum(block: bytes) -> None:
    wanted = number(block[148:156])
    if wanted == sum(block) - sum(block[148:156]) + 8 * 32:
        return
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])
    if wanted != signed + 8 * 32:
        raise ImageError("a header with a wrong checksum: this is no archive, or a broken one")


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
