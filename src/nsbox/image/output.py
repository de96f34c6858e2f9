"""Where an image is written to: a folder or an archive, one file after another."""

import os
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from nsbox.image.entry import Entry, Kind
from nsbox.image.header import END, RECORD, header


class Output(Protocol):
    """Something that files are written into."""

    def write(self, name: str, blocks: Iterable[bytes], size: int) -> None:
        """Write a file of that size, unless it is a blob that is there."""


class FolderOutput:
    """A folder; each file is written under another name and then renamed, so never half there."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """Return what is there already."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, blocks: Iterable[bytes], size: int) -> None:
        """Write a file."""
        path = os.path.join(self.folder, name)
        if name.startswith("blobs/") and os.path.isfile(path) and os.path.getsize(path) == size:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd, new = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path))
        try:
            with open(fd, "wb") as file:
                os.fchmod(fd, 0o644)
                for block in blocks:
                    file.write(block)
            os.rename(new, path)
        except BaseException:
            os.unlink(new)
            raise


class ArchiveOutput:
    """An archive with the same bytes for the same files; not there before it is whole."""

    def __init__(self, path: str) -> None:
        self._path = path
        fd, self._new = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path) or ".")
        self._file = open(fd, "wb")  # noqa: SIM115 - closed by __exit__
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._file:
                if error is None:
                    self._file.write(END)
                    os.fchmod(self._file.fileno(), 0o644)
            if error is None:
                os.rename(self._new, self._path)
        except BaseException:
            os.unlink(self._new)
            raise
        if error is not None:
            os.unlink(self._new)

    def write(self, name: str, blocks: Iterable[bytes], size: int) -> None:
        """Write a file; once, if it has the name of another."""
        if name in self._names:
            return
        self._names.add(name)
        self._file.write(header(Entry(os.fsencode(name), Kind.FILE, size=size)))
        for block in blocks:
            self._file.write(block)
        self._file.write(bytes(-size % RECORD))
