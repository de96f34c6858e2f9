"""The mount namespace that the boxes of a spec are copies of, kept by their starter."""

import os
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.perform import perform
from nsbox.pipes import above_standard
from nsbox.plan import Slot, Step

if TYPE_CHECKING:
    from nsbox.lowered import Lowered

_MOST_PATIENCE = 1000

_TOLD, _LOOKED = 1, 2
"""The places of two fields of ``struct watch``, see steps.h."""


class Held:
    """The namespace, and what tells whether the host's mounts are still those it was made from.

    Both are closed when the last who starts a box by them has let go. `check` is to be done first:
    once mounts have changed it fails for every thread, until one has found that it `is_current`.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.namespace = self.mountinfo = -1
        self.mountinfo = above_standard(
            os.open("/proc/thread-self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        )
        made_from = os.stat("/proc/thread-self/ns/mnt").st_ino
        mounts = self._read()
        self._watch = array("q", (0, 0, 0, _root_mount(mounts)))
        address, _ = self._watch.buffer_info()
        self.check = Step(Operation.SAME_MOUNTS, (self.mountinfo, made_from, address))
        self._pattern = _about([str(one.arguments[2]) for one in steps if _shows_host(one)])
        self._mounts = self._pattern.findall(mounts)
        made = perform(
            [
                Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNS,)),
                Step(Operation.HAND_OVER, ("/proc/self/ns/mnt",)),
                Step(Operation.UNSHARE_FILES),
                Step(Operation.UMASK, (0,)),
                *steps,
            ]
        )
        self.namespace = made.take_descriptor()

    def is_current(self) -> bool:
        """Whether the mounts that matter are what they were, though some have come or gone."""
        told = self._watch[_TOLD]
        current = self._pattern.findall(self._read()) == self._mounts
        if current:
            self._watch[_LOOKED] = told
        return current

    def _read(self) -> bytes:
        parts: list[bytes] = []
        while part := os.pread(self.mountinfo, 1 << 20, sum(map(len, parts))):
            parts.append(part)
        return b"".join(parts)

    def __del__(self) -> None:
        for fd in (self.namespace, self.mountinfo):
            if fd >= 0:
                os.close(fd)


def _root_mount(mounts: bytes) -> int:
    """Return the id of the mount at ``/``, by proc_pid_mountinfo(5); 0 where none is there."""
    found = re.findall(rb"^(\d+) \d+ \S+ \S+ / ", mounts, re.MULTILINE)
    return int(found[-1]) if found else 0


def _shows_host(step: Step) -> bool:
    return step.operation is Operation.OPEN_TREE and step.arguments[1] == Slot.CWD


def _about(paths: Iterable[str]) -> re.Pattern[bytes]:
    """Match the lines of mountinfo for what these paths lie on, and what lies on them."""
    shown, above = set(), {"/"}
    for path in paths:
        parts = path.strip("/").split("/")
        shown.add(path)
        above |= {"/" + "/".join(parts[:depth]) for depth in range(1, len(parts))}
    below = "|".join(re.escape(_mangled(path)) for path in sorted(shown))
    exactly = "|".join(re.escape(_mangled(path)) for path in sorted(above))
    pattern = rf"^\d+ \d+ \S+ \S+ (?:(?:{below})(?:/\S*)?|{exactly}) .*$"
    return re.compile(os.fsencode(pattern), re.MULTILINE)


def _mangled(path: str) -> str:
    """Write a path as proc_pid_mountinfo(5) does."""
    return re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", path)


class Template:
    """How the boxes of one spec get copies of a root, once there is a second box of it.

    `steps` make the root, `copying` is a box that begins with a copy. Where the host's mounts
    change time and again, a template that is made anew each time would cost more than it gives: so
    it is waited longer and longer.
    """

    def __init__(
        self, steps: Callable[[], Iterable[Step]], copying: Callable[[], Iterable[Step]]
    ) -> None:
        self.steps = steps
        self._copying = copying
        self._copy: Lowered | None = None
        self._making = False
        self._patience = self._left = 0

    def copy(self, lowered: "Lowered") -> "Lowered | None":
        """Return `lowered` by a copy, or None if the next box is to make its own root."""
        if self._copy is not None or self._making:
            return self._copy
        if self._left > 0:
            self._left -= 1
            return None
        self._making = True  # by this thread; whoever else asks meanwhile does without
        try:
            held = Held(list(self.steps()))
            self._copy = lowered.by_copy(tuple(self._copying()), held)
        except OSError:
            self.let_go()  # a box will say what it was that failed
        finally:
            self._making = False
        return self._copy

    def is_current(self) -> bool:
        """Whether it is still right, where the host's mounts have changed."""
        copy = self._copy
        return copy is not None and copy.held is not None and copy.held.is_current()

    def let_go(self) -> None:
        """Make it anew, some time later: what it was made from has changed."""
        if self._copy is None and not self._making:
            return  # another thread has found out before
        self._copy = None
        self._patience = self._left = min(2 * self._patience + 1, _MOST_PATIENCE)
