"""A new layer's blob: an archive compressed and digested on its way into a file without a name."""

import hashlib
from collections.abc import Iterable, Iterator

from nsbox.image.compression import compress
from nsbox.image.layer import Layer
from nsbox.image.media import Compression
from nsbox.image.scratch import Scratch


def new_layer(archive: Iterable[bytes], compression: Compression) -> Layer:
    """Make a layer of the blocks of an archive."""
    inner, outer = hashlib.sha256(), hashlib.sha256()
    blocks = compress(_hashed(archive, inner), compression)
    scratch = Scratch(_hashed(blocks, outer))
    digests = [f"sha256:{one.hexdigest()}" for one in (outer, inner)]
    return Layer(scratch.span, digests[0], scratch.size, digests[1], scratch)


def _hashed(blocks: Iterable[bytes], hasher: "hashlib._Hash") -> Iterator[bytes]:
    for block in blocks:
        hasher.update(block)
        yield block
