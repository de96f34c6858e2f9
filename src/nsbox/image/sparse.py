"""Sparse files in archives: where their content goes. See "Storing Sparse Files" in tar's manual.

Four forms are about: GNU tar's old one, with a map in the header, and three in pax records.
"""

from collections.abc import Callable

from nsbox.errors import ImageError
from nsbox.image.entry import Entry, Kind

MAX_EXTENTS = 1 << 16


def pax_map(
    entry: Entry, found: list[tuple[bytes, bytes]], take: Callable[[], bytes]
) -> list[tuple[int, int]] | None:
    """Return the map of a file whose pax records say that it is sparse; set its name and size."""
    keys = dict(found)
    if b"GNU.sparse.name" in keys:
        entry.name = keys[b"GNU.sparse.name"]
        if b"\0" in entry.name:
            raise ImageError(f"a name with a null byte: {entry.name[:60]!r}")
    size = keys.get(b"GNU.sparse.realsize", keys.get(b"GNU.sparse.size"))
    if size is None or entry.kind is not Kind.FILE:
        return None
    entry.size = _number(size)
    if (keys.get(b"GNU.sparse.major"), keys.get(b"GNU.sparse.minor")) == (b"1", b"0"):
        return _map_in_front(take)
    if b"GNU.sparse.map" in keys:
        return _pairs([_number(text) for text in keys[b"GNU.sparse.map"].split(b",") if text])
    return _pairs(
        [
            _number(value)
            for key, value in found
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        ]
    )


def old_map(
    block: bytes, number: Callable[[bytes], int], more: Callable[[], bytes]
) -> tuple[int, list[tuple[int, int]]]:
    """Return the size and the map of a file of GNU tar's old form."""
    size = number(block[483:495])
    numbers = _old_numbers(block[386:482], number)
    extended = block[482]
    while extended:
        block = more()
        if len(block) < 512:
            raise ImageError("the map of a sparse file is cut off")
        numbers += _old_numbers(block[:504], number)
        extended = block[504]
        if len(numbers) > 2 * MAX_EXTENTS:
            raise ImageError("a sparse file with too long a map")
    return size, _pairs(numbers)


def check(entry: Entry, stored: int) -> None:
    """Refuse a map that goes back, beyond the file's end, or asks for more than is stored."""
    end = total = 0
    for offset, length in entry.extents or ():
        if offset < end or length < 0:
            raise ImageError("a sparse file with a map out of order")
        end = offset + length
        total += length
    if end > entry.size or total > stored:
        raise ImageError("a sparse file with a map that does not fit it")


def _map_in_front(take: Callable[[], bytes]) -> list[tuple[int, int]]:
    blocks = [take()]
    first, newline, _ = blocks[0].partition(b"\n")
    wanted = 1 + 2 * _number(first)
    if not newline or wanted > 2 * MAX_EXTENTS:
        raise ImageError("a sparse file with too long a map")
    lines = blocks[0].count(b"\n")
    while lines < wanted:
        blocks.append(take())
        lines += blocks[-1].count(b"\n")
    return _pairs([_number(line) for line in b"".join(blocks).split(b"\n")[1:wanted]])


def _old_numbers(fields: bytes, number: Callable[[bytes], int]) -> list[int]:
    found: list[int] = []
    for at in range(0, len(fields) - 23, 24):
        if not fields[at]:
            break
        found += (number(fields[at : at + 12]), number(fields[at + 12 : at + 24]))
    return found


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * MAX_EXTENTS:
        raise ImageError("a sparse file with a broken map")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ImageError(f"a sparse file with the number {text[:40]!r}")
    return int(text)
