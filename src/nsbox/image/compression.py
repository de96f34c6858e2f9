"""Layers compressed and decompressed, block by block: no block grows beyond its bound."""

import importlib
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from nsbox.errors import ImageError, UnsupportedError
from nsbox.image.media import Compression
from nsbox.image.span import BLOCK

_GZIP = 16 + zlib.MAX_WBITS


def decompress(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress what its first bytes show to be compressed, and pass on what is not.

    Raises `ImageError` for broken data, `UnsupportedError` for zstd where nothing here reads it.
    """
    source = iter(blocks)
    start = b""
    while len(start) < 4 and (block := next(source, b"")):
        start += block
    compression = Compression.of(start)
    if compression is Compression.NONE:
        yield from _both(start, source)
        return
    zstd = zstd_module() if compression is Compression.ZSTD else None
    errors = (zlib.error,) if zstd is None else (zstd.ZstdError,)
    try:
        if zstd is None:
            yield from _gunzip(_both(start, source))
        else:
            yield from _unzstd(zstd, _both(start, source))
    except errors as error:
        raise ImageError(f"broken {compression.value[1:]} data: {error}") from None


def bounded(blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Pass on up to `limit` bytes, and raise `ImageError` where there are more."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > limit:
            raise ImageError(f"it decompresses to more than {limit} bytes (limits: size)")
        yield block


def _both(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if start:
        yield start
    yield from rest


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(_GZIP)
    for block in blocks:
        left = block
        while left:
            if stream.eof:  # another member follows: see RFC 1952, 2.2
                if not left.strip(b"\0"):
                    break
                stream = zlib.decompressobj(_GZIP)
            yield stream.decompress(left, BLOCK)
            left = stream.unconsumed_tail or (stream.unused_data if stream.eof else b"")
    while not stream.eof and (more := stream.decompress(b"", BLOCK)):
        yield more
    if not stream.eof:
        raise ImageError("the gzip data end too early")


def _unzstd(zstd: Any, blocks: Iterator[bytes]) -> Iterator[bytes]:
    stream = zstd.ZstdDecompressor()
    for block in blocks:
        left = block
        while left or not (stream.eof or stream.needs_input):
            if stream.eof:  # another frame follows: see RFC 8878, 3.1
                stream = zstd.ZstdDecompressor()
            yield stream.decompress(left, BLOCK)
            left = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise ImageError("the zstd data end too early")


def compress(blocks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """Compress; the same blocks give the same bytes, for no time or name is written."""
    if compression is Compression.NONE:
        yield from blocks
        return
    if compression is Compression.GZIP:
        stream: Any = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    else:
        stream = zstd_module().ZstdCompressor()
    for block in blocks:
        if data := stream.compress(block):
            yield data
    yield stream.flush()


def zstd_module() -> Any:
    """Return the standard library's zstd, or the package that brings it to older ones."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnsupportedError(
            f"zstd layers take {name}, which this Python has not: pip install 'nsbox[zstd]'"
        ) from None
