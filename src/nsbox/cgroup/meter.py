"""Reading the figures of many groups again and again: their files stay open in between.

Opening a file costs several times what reading it does: so a meter opens each file once, notes
which are not there, and reads all in one call to C.
"""

import resource
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from nsbox.cgroup.batch import Batch
from nsbox.cgroup.reading import PARTS, Folders
from nsbox.cgroup.stats import Stats

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup


class Meter:
    """Reads the figures of groups; `read` gives one `Stats` for each, in their order.

    `parts` are those of `Stats` that are wanted: what is not read costs nothing. A meter keeps the
    files open, up to twenty for each group, as far as half of the descriptors go that the caller
    may have (getrlimit(2), RLIMIT_NOFILE); the others are opened each time, which takes several
    times as long. A group that was removed has empty `Stats`.

    A context manager; `close` twice is harmless. Raises `ValueError` for a part that there is not.
    """

    def __init__(self, groups: "Iterable[Cgroup]", parts: Iterable[str] = PARTS) -> None:
        folders = [Folders.of(group.folders, group.subsystems) for group in groups]
        self._count = len(folders)
        wanted = tuple(parts)
        for name in wanted:
            if name not in PARTS:
                raise ValueError(f"parts: of {', '.join(PARTS)}, not {name!r}")
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._batch: Batch | None = Batch(folders, wanted, soft // 2)

    def read(self) -> list[Stats]:
        """Read all of them, at nearly one time; each is decoded when it is first looked at.

        Raises `OSError`: EMFILE where there are too few descriptors. A file that is not as the
        kernel writes it raises `ValueError` when its figures are looked at.
        """
        if self._batch is None:
            raise ValueError("closed")
        return [texts.stats_when_looked_at() for texts in self._batch.read()]

    def close(self) -> None:
        """Close all files."""
        closing, self._batch = self._batch, None
        if closing is not None:
            closing.close()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_batch", None) is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<Meter of {self._count} groups{' closed' if self._batch is None else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Meter is a live handle, and cannot be pickled")
