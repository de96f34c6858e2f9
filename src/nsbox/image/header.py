"""Archive headers written: ustar's, with pax records for what it has no room for. See tar(5)."""

from nsbox.image import pax
from nsbox.image.entry import Entry, Kind

RECORD = 512
END = bytes(2 * RECORD)
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777


def header(entry: Entry) -> bytes:
    """Return the header of an entry, before its content."""
    records = list(_records(entry))
    data = b"".join(pax.record(key, value) for key, value in sorted(records))
    extended = b""
    if data:
        extended = _block(Entry(b"pax", Kind.FILE, size=len(data)), b"x") + padded(data)
    return extended + _block(entry, entry.kind.value)


def padded(data: bytes) -> bytes:
    """Fill up to whole records."""
    return data + bytes(-len(data) % RECORD)


def _records(entry: Entry) -> list[tuple[bytes, bytes]]:
    found = [(pax.XATTR + name, value) for name, value in entry.xattrs.items()]
    for key, name in ((b"path", entry.name), (b"linkpath", entry.link)):
        if len(name) > 100 or not name.isascii():
            found.append((key, name))
    numbers = ((b"uid", entry.uid, _MAX_ID), (b"gid", entry.gid, _MAX_ID))
    for key, value, most in (*numbers, (b"size", entry.size, _MAX_SIZE)):
        if value > most:
            found.append((key, b"%d" % value))
    seconds, fraction = divmod(entry.mtime_ns, 10**9)
    if fraction or not 0 <= seconds <= _MAX_SIZE:
        found.append((b"mtime", pax.time(entry.mtime_ns)))
    return found


def _block(entry: Entry, flag: bytes) -> bytes:
    block = b"".join(
        (
            entry.name[:100].ljust(100, b"\0"),
            b"%07o\0" % entry.mode,
            b"%07o\0" % min(entry.uid, _MAX_ID),
            b"%07o\0" % min(entry.gid, _MAX_ID),
            b"%011o\0" % min(entry.size, _MAX_SIZE),
            b"%011o\0" % min(max(entry.mtime_ns // 10**9, 0), _MAX_SIZE),
            b" " * 8,
            flag,
            entry.link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % entry.device,
            bytes(167),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
