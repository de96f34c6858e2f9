"""Digests: what content is addressed by, and checked against before anybody uses it.

See https://github.com/opencontainers/image-spec/blob/main/descriptor.md.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from nsbox.errors import ImageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)


def check_digest(value: Any, what: str) -> str:
    """Accept a digest that can be checked and that names no other file; else `ImageError`."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ImageError(f"{what}: a digest, sha256:... or sha512:..., not {value!r}")
    return value


def blob_path(digest: str) -> str:
    """Return where a layout keeps the blob of this digest."""
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded}"


def sha256(content: bytes) -> str:
    """Return the digest of these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def chain_id(parent: str | None, diff_id: str) -> str:
    """Return what names a layer together with all that is below it. See config.md, "ChainID"."""
    return diff_id if parent is None else sha256(f"{parent} {diff_id}".encode())


@attrs.frozen
class Expected:
    """What content must turn out to be; the size is None where nobody says it."""

    what: str
    digest: str
    size: int | None = None

    def check(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass blocks on, and raise `ImageError` where they are not what was expected.

        Until the end has been reached without an error, nothing of it may be used.
        """
        hasher = hashlib.new(self.digest.partition(":")[0])
        done = 0
        for block in blocks:
            done += len(block)
            if self.size is not None and done > self.size:
                raise ImageError(f"{self.what} is longer than the {self.size} bytes it should have")
            hasher.update(block)
            yield block
        if self.size is not None and done < self.size:
            raise ImageError(f"{self.what} ends after {done} bytes of {self.size}")
        found = f"{hasher.name}:{hasher.hexdigest()}"
        if found != self.digest:
            raise ImageError(f"{self.what} has the digest {found}, not {self.digest}")


def digest_of(blocks: Iterable[bytes]) -> str:
    """Return the digest of all these blocks together."""
    hasher = hashlib.sha256()
    for block in blocks:
        hasher.update(block)
    return f"sha256:{hasher.hexdigest()}"
