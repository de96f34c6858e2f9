"""Blocks as a stream that goes forward only: so much is taken, so much is passed over."""

from collections.abc import Generator, Iterator

from nsbox.errors import ImageError
from nsbox.image.span import BLOCK, Span


class BlockStream:
    """A stream over blocks that come from somewhere, decompressed on the way maybe."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = memoryview(b"")

    def read(self, count: int) -> bytes:
        """Return `count` bytes; fewer at the end."""
        if len(self._block) >= count:
            taken, self._block = self._block[:count], self._block[count:]
            return bytes(taken)
        return b"".join(self.pieces(count, whole=False))

    def pieces(self, count: int, *, whole: bool = True) -> Iterator[memoryview]:
        """Pass on `count` bytes as they come, without a copy; `ImageError` where they do not."""
        while count:
            if not self._block:
                block = next(self._blocks, None)
                if block is None:
                    if whole:
                        raise ImageError("the archive is cut off in the middle of an entry")
                    return
                self._block = memoryview(block)
            piece, self._block = self._block[:count], self._block[count:]
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        for _ in self.pieces(count):
            pass

    def rest(self) -> Iterator[bytes]:
        """Pass on all that is left."""
        if self._block:
            yield bytes(self._block)
        self._block = memoryview(b"")
        yield from self._blocks

    def drain(self) -> None:
        """Read to the end: what is checked there is checked."""
        for _ in self.rest():
            pass

    def close(self) -> None:
        """Stop what makes the blocks."""
        self._block = memoryview(b"")
        if isinstance(self._blocks, Generator):
            self._blocks.close()


class SpanStream:
    """A stream over a file, where passing over costs nothing: to list what an archive holds."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.at = 0
        self._size = span.size
        self._block, self._block_at = b"", 0

    def read(self, count: int) -> bytes:
        """Return `count` bytes; fewer at the end."""
        start = self.at - self._block_at
        if not 0 <= start <= len(self._block) - count:
            length = max(min(max(count, BLOCK >> 4), self._size - self.at), 0)
            part = Span(self._span.path, self._span.offset + self.at, length)
            self._block, self._block_at, start = b"".join(part.blocks()), self.at, 0
        data = self._block[start : start + count]
        self.at += len(data)
        return data

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Pass on `count` bytes."""
        data = self.read(count)
        if len(data) < count:
            raise ImageError("the archive is cut off in the middle of an entry")
        yield memoryview(data)

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        self.at += count
        if self.at > self._size:
            raise ImageError("the archive is cut off in the middle of an entry")
