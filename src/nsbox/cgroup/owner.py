"""Who made a group: in the name of a box's, in an attribute of one that was named by its user.

An owner is told by its pid and start time, which together name a process for good, and by its pid
namespace unless that is the first: seen from elsewhere the pid would be another's.
"""

import contextlib
import functools
import os
import re
from typing import NamedTuple

from nsbox import procfs

PREFIX = "nsbox-"
ATTRIBUTE = "user.nsbox.owner"
"""An extended attribute, see xattr(7); groups take those of users since Linux 5.7."""

_MARK = re.compile(r"([0-9]+)-([0-9]+)(?:@([0-9]+))?", re.ASCII)
_NAME = re.compile(rf"{PREFIX}({_MARK.pattern})-[0-9]+", re.ASCII)
_FIRST_PID_NAMESPACE = 4026531836  # PROC_PID_INIT_INO, fixed in the kernel's headers


class Owner(NamedTuple):
    """A process that made a group; `namespace` is the inode of its pid namespace, 0: the first."""

    pid: int
    starttime: int
    namespace: int

    @classmethod
    def parse(cls, mark: str) -> "Owner | None":
        """Read "pid-starttime" or "pid-starttime@namespace"."""
        found = _MARK.fullmatch(mark)
        return cls(*(int(part or 0) for part in found.groups())) if found else None

    @property
    def dead(self) -> bool:
        """Whether it is certain that this process is no more. A zombie is no more, too."""
        if self.namespace != _namespace():
            return False
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                stat = procfs.parse_stat(procfs.decode(file.read()))
        except (FileNotFoundError, ProcessLookupError):
            return True
        ended = stat.state in "ZX" and stat.num_threads <= 1
        return ended or stat.starttime != self.starttime


def owner() -> str:
    """Return the mark of the calling process."""
    return _mark(os.getpid())


def mark(folder: str) -> None:
    """Leave the caller's mark on a group, where the kernel takes it."""
    with contextlib.suppress(OSError):
        os.setxattr(folder, ATTRIBUTE, owner().encode())


def owner_of(folder: str) -> Owner | None:
    """Return who made a group, None where that is not known."""
    if found := _NAME.fullmatch(os.path.basename(folder)):
        return Owner.parse(found[1])
    try:
        return Owner.parse(os.getxattr(folder, ATTRIBUTE).decode())
    except (OSError, UnicodeDecodeError):
        return None


@functools.lru_cache(maxsize=1)
def _mark(pid: int) -> str:
    with open("/proc/self/stat", "rb") as file:
        start = procfs.parse_stat(procfs.decode(file.read())).starttime
    namespace = _namespace()
    return f"{pid}-{start}" + (f"@{namespace}" if namespace else "")


def _namespace() -> int:
    inode = os.stat("/proc/self/ns/pid").st_ino
    return 0 if inode == _FIRST_PID_NAMESPACE else inode
