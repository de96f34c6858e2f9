"""A layer: where its blob is, what it must turn out to be, and the checked way to its archive."""

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from nsbox.image.ahead import ahead
from nsbox.image.compression import bounded, decompress
from nsbox.image.digest import Expected
from nsbox.image.media import Compression
from nsbox.image.scratch import Scratch
from nsbox.image.span import Span
from nsbox.image.stream import BlockStream

WORTH_A_THREAD = 1 << 20


def _nobody(_: int) -> None:
    """Tell nobody how far it is."""


@attrs.frozen(eq=False)
class Layer:
    """One layer of an image.

    `digest` and `size` are of the blob, as it is stored (the digest is None where an archive does
    not tell it); `diff_id` is the digest of its archive, decompressed. `keeps` is what must live
    for the span to be readable.
    """

    span: Span
    digest: str | None
    size: int
    diff_id: str
    keeps: Any = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What another process must have open to read its span."""
        return self.keeps.descriptors if isinstance(self.keeps, Scratch) else ()

    @property
    def compression(self) -> Compression:
        """How it is compressed, by its first bytes."""
        return Compression.of(self.span.start(4))

    def blob(self) -> Iterator[bytes]:
        """Pass on the blob as it is stored, checked: `ImageError` at the end if it is wrong."""
        blocks = self.span.blocks()
        if self.digest is None:
            return blocks
        return Expected("the blob", self.digest, self.size).check(blocks)

    def archive(self, limit: int, done: Callable[[int], None] = _nobody) -> BlockStream:
        """Return the archive, up to `limit` bytes of it; to be drained before it is trusted.

        `done` is told, in the caller's thread, how many bytes of the blob have been read.
        """
        read = [0]
        blocks = decompress(_counted(self.blob(), read))
        if self.digest != self.diff_id:
            blocks = Expected("the archive in it", self.diff_id).check(blocks)
        checked: Iterator[bytes] = bounded(blocks, limit)
        if self.size >= WORTH_A_THREAD:
            checked = ahead(checked)
        return BlockStream(_told(checked, read, done))


def _counted(blocks: Iterator[bytes], read: list[int]) -> Iterator[bytes]:
    for block in blocks:
        read[0] += len(block)
        yield block


def _told(blocks: Iterator[bytes], read: list[int], done: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        done(read[0])
        yield block
    done(read[0])
