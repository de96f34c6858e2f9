"""The files of a layout or an archive, by their names in it."""

import os
from collections.abc import Mapping
from typing import Protocol

import attrs

from nsbox.errors import ImageError
from nsbox.image.entry import Entry, Kind
from nsbox.image.limits import Limits
from nsbox.image.span import Span
from nsbox.image.stream import SpanStream
from nsbox.image.untar import Untar

_MAX_LINKS = 8
_MAX_NAME = 4096
"""Longer ones are not remembered: no part of an image is called so."""


class Files(Protocol):
    """What an image is read from."""

    def __contains__(self, name: str) -> bool: ...

    def span(self, name: str) -> Span:
        """Return where a file's content is. Raises `ImageError` where there is no such file."""


@attrs.frozen
class FolderFiles:
    """Those below a folder; names are the layout's own, so none leads out."""

    folder: str

    def __contains__(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.folder, name))

    def span(self, name: str) -> Span:
        """Return where a file's content is."""
        if name not in self:
            raise ImageError(f"{self.folder} has no file {name}")
        return Span(os.path.join(self.folder, name))


@attrs.frozen
class ArchiveFiles:
    """Those in an archive that is not compressed: spans of it, and links among them."""

    path: str
    spans: Mapping[str, Span | str]
    ended: bool

    @classmethod
    def of(cls, path: str, limits: Limits = Limits()) -> "ArchiveFiles":
        """List an archive, by its headers alone. Raises `ImageError` for too many of them."""
        stream = SpanStream(Span(path))
        spans: dict[str, Span | str] = {}
        archive = Untar(stream)
        for count, entry in enumerate(archive, 1):
            if count > limits.entries:
                raise ImageError(f"{path}: more than {limits.entries} entries (limits: entries)")
            if max(len(entry.name), len(entry.link)) > _MAX_NAME:
                continue
            name = os.path.normpath(os.fsdecode(entry.name))
            if entry.kind is Kind.FILE and entry.extents is None:
                spans[name] = Span(path, stream.at, archive.stored)
            elif entry.kind in (Kind.HARD_LINK, Kind.SYMLINK):
                spans[name] = _target(name, entry)
        return cls(path, spans, archive.ended)

    def __contains__(self, name: str) -> bool:
        return name in self.spans

    def span(self, name: str) -> Span:
        """Return where a file's content is, in the archive."""
        found: Span | str | None = os.path.normpath(name)
        for _ in range(_MAX_LINKS):
            found = self.spans.get(found)  # type: ignore[arg-type]
            if isinstance(found, Span):
                return found
            if found is None:
                break
        raise ImageError(f"{self.path} has no file {name}")


def _target(name: str, entry: Entry) -> str:
    target = os.fsdecode(entry.link)
    if entry.kind is Kind.SYMLINK:
        target = os.path.join(os.path.dirname(name), target)
    return os.path.normpath(target)
