"""Reading the figures of many groups again and again: their files stay open in between.

Opening a file costs several times what reading it does: so a meter opens each file once, notes
which are not there, and reads all in one call to C; those of many groups in one for each processor.
"""

import os
import resource
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from nsbox.cgroup.batch import Batch
from nsbox.cgroup.reading import PARTS, Folders, counted
from nsbox.cgroup.stats import Stats

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup


class Meter:
    """Reads the figures of groups; `read` gives one `Stats` for each, in their order.

    `parts` are those of `Stats` that are wanted: what is not read costs nothing. A meter keeps the
    files open, up to twenty for each group, and leaves the caller 1,024 of the descriptors that it
    may still have when it is made (getrlimit(2), RLIMIT_NOFILE), or half of them where there are
    fewer; the others are opened each time, which takes several times as long. A group that was
    removed has empty `Stats`.

    A context manager; `close` twice is harmless. Raises `ValueError` for a part that there is not.
    """

    def __init__(self, groups: "Iterable[Cgroup]", parts: Iterable[str] = PARTS) -> None:
        folders = [Folders.of(group.folders, group.subsystems) for group in groups]
        self._count = len(folders)
        wanted = tuple(parts)
        for name in wanted:
            if name not in PARTS:
                raise ValueError(f"parts: of {', '.join(PARTS)}, not {name!r}")
        shares = _shares(folders, wanted)
        kept = _spare() // len(shares)
        self._batches = [Batch(share, wanted, kept) for share in shares]

    def read(self) -> list[Stats]:
        """Read all of them, at nearly one time; each is decoded when it is first looked at.

        Until then it keeps what was read of all.

        Raises `OSError`: EMFILE where there are too few descriptors. A file that is not as the
        kernel writes it raises `ValueError` when its figures are looked at.
        """
        batches = self._batches
        if not batches:
            raise ValueError("closed")
        if len(batches) == 1:
            return batches[0].read().stats()
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - few read so many

        try:
            with ThreadPoolExecutor(len(batches)) as at_once:
                readings = list(at_once.map(Batch.read, batches))
        except RuntimeError:  # no thread can be started: under a limit, or as the interpreter ends
            readings = [batch.read() for batch in batches]
        return [stats for reading in readings for stats in reading.stats()]

    def close(self) -> None:
        """Close all files."""
        closing, self._batches = self._batches, []
        for batch in closing:
            batch.close()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_batches", None):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<Meter of {self._count} groups{'' if self._batches else ' closed'}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Meter is a live handle, and cannot be pickled")


_SHARE = 3000
"""How many files take so long that another processor is worth a thread."""

_LEFT = 1024
"""How many descriptors are left to the caller, where it may have many."""


def _shares(folders: list[Folders], wanted: tuple[str, ...]) -> list[list[Folders]]:
    """Divide groups among processors, in their order."""
    files = sum(len(counted(one, wanted)) for one in folders)
    count = max(1, min(len(os.sched_getaffinity(0)), files // _SHARE))
    size = max(1, -(-len(folders) // count))
    return [folders[first : first + size] for first in range(0, len(folders), size)] or [[]]


def _spare() -> int:
    """Return how many a meter may keep."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = soft - len(os.listdir("/proc/self/fd"))
    return max(free // 2, free - _LEFT, 0)
