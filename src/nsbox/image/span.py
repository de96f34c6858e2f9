"""A span of a file of the host: where a blob's bytes are, read without a position kept."""

import os
import stat
from collections.abc import Iterator

import attrs

from nsbox.errors import ImageError

BLOCK = 1 << 18

MAX_DOCUMENT = 8 << 20
"""The most bytes that an index, manifest or config may have: they are read into memory."""


@attrs.frozen
class Span:
    """`length` bytes of a regular file from `offset` on; up to its end if None."""

    path: str
    offset: int = 0
    length: int | None = None

    @property
    def size(self) -> int:
        """How many bytes there are."""
        if self.length is not None:
            return self.length
        return max(os.stat(self.path).st_size - self.offset, 0)

    def blocks(self) -> Iterator[bytes]:
        """Read it from the start, block by block. Raises `OSError`, `ImageError`."""
        # Not to be kept waiting by a FIFO that stands in a blob's place.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ImageError(f"{self.path} is not a regular file")
            at, end = self.offset, None if self.length is None else self.offset + self.length
            while end is None or at < end:
                block = os.pread(fd, BLOCK if end is None else min(BLOCK, end - at), at)
                if not block:
                    return
                at += len(block)
                yield block
        finally:
            os.close(fd)

    def start(self, count: int) -> bytes:
        """Return its first bytes, up to `count`."""
        return Span(self.path, self.offset, min(count, self.size)).document()

    def document(self) -> bytes:
        """Return all of it: for documents, so not more than `MAX_DOCUMENT`."""
        if self.size > MAX_DOCUMENT:
            raise ImageError(f"{self.path}: a document of {self.size} bytes is too long")
        return b"".join(self.blocks())
