"""Pax records: what a header's fields have no room for. See pax in POSIX, "Extended Header"."""

import re

from nsbox.errors import ImageError
from nsbox.image.entry import Entry

XATTR = b"SCHILY.xattr."
"""What begins the key of an extended attribute, as star(1), GNU tar and Go write it."""

_TIME = re.compile(rb"(-?)(\d{1,18})(?:\.(\d*))?", re.ASCII)


def records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Read records, each a length, a blank, ``key=value`` and a newline, in their order."""
    found = []
    at = 0
    while at < len(data):
        digits, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not digits.isdigit():
            raise ImageError("a pax record without a length")
        end = at + int(digits)
        key, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise ImageError("a broken pax record")
        found.append((key, value))
        at = end
    return found


def record(key: bytes, value: bytes) -> bytes:
    """Write a record: its length counts the length's own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length += len(str(length)) - len(str(rest))
    return b"%d %s=%s\n" % (length, key, value)


def apply(entry: Entry, found: list[tuple[bytes, bytes]]) -> None:
    """Let records take the place of an entry's fields. An empty value takes nothing's place."""
    for key, value in found:
        if key.startswith(XATTR):
            if b"\0" in key:
                raise ImageError(f"an attribute with a null byte in its name: {key[:60]!r}")
            entry.xattrs[key.removeprefix(XATTR)] = value
        elif not value:
            continue
        elif key in (b"path", b"linkpath"):
            if b"\0" in value:
                raise ImageError(f"a name with a null byte: {value[:60]!r}")
            setattr(entry, "name" if key == b"path" else "link", value)
        elif key in (b"size", b"uid", b"gid"):
            setattr(entry, key.decode(), _number(value))
        elif key == b"mtime":
            entry.mtime_ns = _nanoseconds(value)


def time(nanoseconds: int) -> bytes:
    """Write a time: seconds, and a fraction where there is one."""
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    sign = b"-" if nanoseconds < 0 else b""
    digits = b".%09d" % fraction if fraction else b""
    return sign + b"%d" % seconds + digits.rstrip(b"0")


def _nanoseconds(value: bytes) -> int:
    found = _TIME.fullmatch(value)
    if found is None:
        raise ImageError(f"a pax record with the time {value[:40]!r}")
    fraction = int(((found[3] or b"") + b"0" * 9)[:9])
    result = int(found[2]) * 10**9 + fraction
    return -result if found[1] else result


def _number(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise ImageError(f"a pax record with the number {value[:40]!r}")
    return int(value)
