"""Reading the figures of many groups again and again: their files stay open in between.

Opening a file costs several times what reading it does, and both cost more than a look into memory:
so a meter opens each file once, and notes which are not there.
"""

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from nsbox.cgroup import files, reading
from nsbox.cgroup.stats import Stats

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup


class Meter:
    """Reads the figures of groups; `read` gives one `Stats` for each, in their order.

    It holds about ten descriptors for each group: see getrlimit(2), RLIMIT_NOFILE. A group that was
    removed has empty `Stats`. A context manager; `close` twice is harmless.
    """

    def __init__(self, groups: "Iterable[Cgroup]") -> None:
        self._open: list[_Kept] = []
        self._readers: list[reading.Readers] = []
        for group in groups:
            opened = reading.readers(group.folders, group.subsystems, self._keep)
            self._readers.append(opened)

    def read(self) -> list[Stats]:
        """Read all of them. Raises `OSError` EMFILE where there are too few descriptors."""
        return [reading.stats(one) for one in self._readers]

    def close(self) -> None:
        """Close all files."""
        self._readers.clear()
        while self._open:
            self._open.pop().close()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if any(kept.descriptors for kept in getattr(self, "_open", ())):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<Meter of {len(self._readers)} groups>"

    def __reduce__(self) -> Any:
        raise TypeError("a Meter is a live handle, and cannot be pickled")

    def _keep(self, folder: str) -> "_Kept":
        kept = _Kept(folder)
        self._open.append(kept)
        return kept


class _Kept:
    """The files of one folder, each opened when it is first read."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.descriptors: dict[str, int | None] = {}

    def __call__(self, file: str) -> str | None:
        try:
            descriptor = self.descriptors[file]
        except KeyError:
            descriptor = self.descriptors[file] = files.open_to_read(f"{self.folder}/{file}")
        return None if descriptor is None else files.read_open(descriptor)

    def close(self) -> None:
        for descriptor in self.descriptors.values():
            if descriptor is not None:
                os.close(descriptor)
        self.descriptors.clear()
