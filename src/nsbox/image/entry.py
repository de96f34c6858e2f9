"""One entry of a layer: a file, as an archive describes it."""

import enum

import attrs


class Kind(enum.Enum):
    """What an entry is; the values are the type flags of tar(5)."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHAR_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    FOLDER = b"5"
    FIFO = b"6"


@attrs.define
class Entry:
    """A file as an archive has it. Names are bytes, as they are to the kernel.

    `size` is its length, which for a sparse file is more than what the archive holds: `extents`
    lists then the (offset, length) of what is there.
    """

    name: bytes
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = attrs.field(factory=dict)
    extents: list[tuple[int, int]] | None = None


WHITEOUT = b".wh."
"""What begins the name of a file that says: this name of a lower layer is gone."""

OPAQUE = b".wh..wh..opq"
"""The name of a file that says: all that lower layers have in this folder is gone."""

OVERLAY_PREFIXES = (b"trusted.overlay.", b"user.overlay.")
"""Extended attributes that are orders to an overlay mount: never taken from an archive."""
