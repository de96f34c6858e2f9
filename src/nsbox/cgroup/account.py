"""The groups of one box, from its end: what they tell of it, and their removal."""

import contextlib
import os
from collections.abc import Callable, Mapping

from nsbox._native.values import Ending
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import UnsupportedError

_FILES = {
    1: (b"/memory.oom_control", b"/memory.max_usage_in_bytes"),
    2: (b"/memory.events", b"/memory.peak"),
}
"""Where OOM kills are counted, and the most memory used, by version."""


class BoxGroups:
    """The folders that a box is in; `made` for it alone, or somebody's that it has joined.

    Whoever joins a box joins its folders: then `of_box` is whether they were made for that.
    """

    def __init__(
        self,
        directories: Callable[[], Mapping[Hierarchy, str]],
        *,
        made: bool,
        of_box: bool | None = None,
    ) -> None:
        self._named = directories
        self._directories: Mapping[Hierarchy, str] | None = None
        self.of_box = made if of_box is None else of_box
        self._made = made

    @classmethod
    def joined(cls, directories: Mapping[Hierarchy, str], *, of_box: bool) -> "BoxGroups":
        """Return those of somebody else."""
        return cls(lambda: directories, made=False, of_box=of_box)

    @property
    def directories(self) -> Mapping[Hierarchy, str]:
        """The folders, by hierarchy; few who start a box ask for them."""
        if self._directories is None:
            self._directories = self._named()
        return self._directories

    @property
    def shared(self) -> "BoxGroups":
        """The same for whoever is in them without having made them, from its beginning."""
        return BoxGroups.joined(self.directories, of_box=self.of_box)

    def lent(self) -> "BoxGroups":
        """Return the same for whoever is not to remove them."""
        return BoxGroups(self._named, made=False, of_box=self.of_box)

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


def ending(directories: Mapping[Hierarchy, str], *, made: bool) -> Ending:
    """List what is read from groups at the end of a box, and removed if they were `made` for it."""
    texts = [os.fsencode(folder) for folder in directories.values()] if made else []
    folders, peak, kills = len(texts), None, None
    size = sum(map(len, texts)) + len(texts)
    for one, folder in directories.items():
        if "memory" in one.subsystems:
            kills_file, peak_file = (os.fsencode(folder) + name for name in _FILES[one.version])
            kills, peak = size, size + len(kills_file) + 1 if made else None
            texts += [kills_file, peak_file]
    return Ending(b"".join(text + b"\0" for text in texts), folders, peak, kills)
