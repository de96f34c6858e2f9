"""Descriptors: how one document of a layout points at the next, checked as they are followed.

See https://github.com/opencontainers/image-spec/blob/main/descriptor.md.
"""

from typing import Any

import attrs

from nsbox.errors import ImageError
from nsbox.frozen import FrozenMap
from nsbox.image.digest import Expected, blob_path, check_digest
from nsbox.image.files import Files
from nsbox.image.span import MAX_DOCUMENT, Span


@attrs.frozen
class Descriptor:
    """What a blob is said to be."""

    media_type: str
    digest: str
    size: int
    annotations: FrozenMap[str, str] = attrs.field(default=FrozenMap())
    platform: FrozenMap[str, Any] | None = None

    @classmethod
    def of(cls, document: Any, what: str) -> "Descriptor":
        """Read one. Raises `ImageError` for what is none, or could not be checked."""
        if not isinstance(document, dict):
            raise ImageError(f"{what} is not an object")
        size = document.get("size")
        if type(size) is not int or size < 0:
            raise ImageError(f"{what}: a size in bytes, not {size!r}")
        annotations = document.get("annotations") or {}
        platform = document.get("platform")
        if not isinstance(annotations, dict) or not isinstance(platform, dict | None):
            raise ImageError(f"{what}: annotations or platform that are no objects")
        return cls(
            str(document.get("mediaType", "")),
            check_digest(document.get("digest"), what),
            size,
            FrozenMap(annotations),
            None if platform is None else FrozenMap(platform),
        )

    def span(self, files: Files) -> Span:
        """Return where the blob is, which must be as long as it is said to be."""
        span = files.span(blob_path(self.digest))
        if span.size != self.size:
            raise ImageError(f"blob {self.digest} has {span.size} bytes and not {self.size}")
        return span

    def document(self, files: Files, what: str) -> bytes:
        """Return the blob's content, checked."""
        if self.size > MAX_DOCUMENT:
            raise ImageError(f"{what} of {self.size} bytes is too long")
        return b"".join(Expected(what, self.digest, self.size).check(self.span(files).blocks()))

    def to_json(self) -> dict[str, Any]:
        """Return it as a document."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform:
            document["platform"] = dict(self.platform)
        return document
