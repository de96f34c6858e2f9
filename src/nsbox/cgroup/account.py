"""The groups of one box, from its end: what they tell of it, and their removal."""

import contextlib
import os
from collections.abc import Mapping

from nsbox.cgroup import files, formats
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import UnsupportedError

_FILES = {
    1: ("memory.oom_control", "memory.max_usage_in_bytes"),
    2: ("memory.events", "memory.peak"),
}
"""Where OOM kills are counted, and the most memory used, by version."""


class BoxGroups:
    """The folders that a box is in; `made` for it alone, or somebody's that it has joined.

    Whoever joins a box joins its folders: then `of_box` is whether they were made for that.
    """

    def __init__(
        self, directories: Mapping[Hierarchy, str], *, made: bool, of_box: bool | None = None
    ) -> None:
        self.directories = directories
        self.of_box = made if of_box is None else of_box
        self._made = made
        self._memory = next((h for h in directories if "memory" in h.subsystems), None)
        self._kills_before = 0 if made else self._kills()

    def shared(self) -> "BoxGroups":
        """Return the same for whoever is in them without having made them, from its beginning."""
        return BoxGroups(self.directories, made=False, of_box=self.of_box)

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel ended a task of theirs since the box began, for want of memory."""
        return self._kills() > self._kills_before

    @property
    def memory_peak(self) -> int | None:
        """The most memory that the box used, in bytes, where it has a group of its own for it."""
        if self._memory is None or not self._made:
            return None
        text = files.read(f"{self.directories[self._memory]}/{_FILES[self._memory.version][1]}")
        return int(text) if text else None

    @property
    def frozen(self) -> bool:
        """Whether all in them is stopped; no, where nothing could stop it."""
        from nsbox.cgroup import stopping  # noqa: PLC0415 - a command alone is never asked

        with contextlib.suppress(OSError, UnsupportedError):
            return stopping.is_frozen(self.directories)
        return False

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

    def _kills(self) -> int:
        if self._memory is None:
            return 0
        text = files.read(f"{self.directories[self._memory]}/{_FILES[self._memory.version][0]}")
        return int(formats.flat(text).get("oom_kill", 0)) if text else 0
