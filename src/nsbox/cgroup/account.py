"""The groups of one box, from its end: what they tell of it, and their removal."""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping

from nsbox._native import Groups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import UnsupportedError

_FILES = {
    1: (b"/memory.oom_control\0", b"/memory.max_usage_in_bytes\0"),
    2: (b"/memory.events\0", b"/memory.peak\0"),
}
"""Where OOM kills are counted, and the most memory used, by version."""


class BoxGroups:
    """The folders that a box is in; `made` for it alone, or somebody's that it has joined.

    `to_end` is what is done with them at the end of the box, in the one call that waits for it.
    Whoever joins a box joins its folders: then `of_box` is whether they were made for that.
    """

    def __init__(
        self,
        directories: Callable[[], Mapping[Hierarchy, str]],
        to_end: Groups,
        *,
        made: bool,
        of_box: bool | None = None,
    ) -> None:
        self._named = directories
        self.to_end = to_end
        self.of_box = made if of_box is None else of_box
        self._made = made

    @classmethod
    def joined(cls, directories: Mapping[Hierarchy, str], *, of_box: bool) -> "BoxGroups":
        """Return those of somebody else."""
        ending = to_end(directories, made=False)
        return cls(lambda: directories, ending, made=False, of_box=of_box)

    @functools.cached_property
    def directories(self) -> Mapping[Hierarchy, str]:
        """The folders, by hierarchy; few who start a box ask for them."""
        return self._named()

    @functools.cached_property
    def shared(self) -> "BoxGroups":
        """The same for whoever is in them without having made them, from its beginning."""
        return BoxGroups.joined(self.directories, of_box=self.of_box)

    def lent(self) -> "BoxGroups":
        """Return the same for whoever is not to remove them."""
        return BoxGroups(self._named, self.to_end, made=False, of_box=self.of_box)

    def thaw(self) -> None:
        """Let all in them go on if they are the box's own: a frozen task could not end."""
        if not self.of_box:
            return
        with contextlib.suppress(
            OSError, UnsupportedError, ImportError
        ):  # at the interpreter's end
            from nsbox.cgroup import stopping  # noqa: PLC0415 - most boxes end by themselves

            stopping.thaw(self.directories)

    def remove(self) -> None:
        """Remove them if they are the box's own; all tasks have ended."""
        if not self._made:
            return
        left = []
        for folder in self.directories.values():
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                left.append(folder)
        if left:
            from nsbox.cgroup import removing  # noqa: PLC0415 - only what is in use takes patience

            with contextlib.suppress(OSError):  # what lives on in it is not the box's
                removing.remove(left)


def to_end(directories: Mapping[Hierarchy, str], *, made: bool) -> Groups:
    """List what is read from groups at the end of a box, and removed if they were `made` for it."""
    folders = {one: os.fsencode(folder) for one, folder in directories.items()}
    peak = kills = None
    for one, folder in folders.items():
        if "memory" in one.subsystems:
            kills_file, peak_file = _FILES[one.version]
            kills = folder + kills_file
            peak = folder + peak_file if made else None
    if not made:
        return Groups(kills=kills)
    return Groups(b"\0".join((*folders.values(), b"")), len(folders), peak, kills)
