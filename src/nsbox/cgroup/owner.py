"""Who made a group: in the name of a box's, in an attribute of one that was named by its user.

An owner is told by its pid and start time, which together name a process for good, and by its pid
namespace unless that is the first: seen from elsewhere the pid would be another's. Who cannot be
sure that an owner is dead takes it for alive.
"""

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Generator
from typing import NamedTuple

from nsbox import procfs
from nsbox.cgroup import started

PREFIX = "nsbox-"
ATTRIBUTE = "user.nsbox.owner"
"""An extended attribute, see xattr(7); groups take those of users since Linux 5.7."""

CLAIM = "user.nsbox.making."
"""How the attribute begins that a group has while one is made below it."""

_claims = itertools.count()

_MARK = re.compile(r"([0-9]+)-([0-9]+)(?:@([0-9]+))?", re.ASCII)
_NAME = re.compile(rf"{PREFIX}({_MARK.pattern})-[0-9]+", re.ASCII)
_NOBODYS = 1  # no namespace has that inode: an owner that cannot tell its start is never dead
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
        if self.namespace != _namespace() or not _proc_is_ours():
            return False
        try:
            stat = _stat(str(self.pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return not _answers(self.pid)  # hidepid= may hide the living: see proc(5)
        if stat.state in "ZX" and stat.num_threads <= 1:
            return True
        began = started.at(stat)
        return began is not None and abs(began - self.starttime) > 1


def owner() -> str:
    """Return the mark of the calling process."""
    return _mark(os.getpid())


def mark(folder: str) -> None:
    """Leave the caller's mark on a group, where the kernel takes it."""
    with contextlib.suppress(OSError):
        os.setxattr(folder, ATTRIBUTE, owner().encode())


@contextlib.contextmanager
def claimed(folder: str) -> Generator[None, None, None]:
    """Say in the group above that a group is being made, until it bears its own mark.

    An owner that is killed in between leaves the claim, and so tells of the group.
    """
    above, name = os.path.split(folder)
    attribute = f"{CLAIM}{owner()}.{next(_claims)}"
    with contextlib.suppress(OSError):
        os.setxattr(above, attribute, os.fsencode(name))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.removexattr(above, attribute)


def left_claims(above: str) -> list[str]:
    """Take the claims of dead owners off a group; returns the folders that were claimed."""
    found = []
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(above):
            made_by = Owner.parse(attribute.removeprefix(CLAIM).rpartition(".")[0])
            if attribute.startswith(CLAIM) and made_by is not None and made_by.dead:
                found.append(f"{above}/{os.fsdecode(os.getxattr(above, attribute))}")
                os.removexattr(above, attribute)
    return found


def owner_of(folder: str) -> Owner | None:
    """Return who made a group, None where that is not known.

    The name tells only where no mark does: a user may have chosen one that looks like a box's.
    """
    try:
        return Owner.parse(os.getxattr(folder, ATTRIBUTE).decode())
    except UnicodeDecodeError:
        return None
    except OSError:
        found = _NAME.fullmatch(os.path.basename(folder))
        return Owner.parse(found[1]) if found else None


@functools.lru_cache(maxsize=1)
def _mark(pid: int) -> str:
    began = started.at(_stat("self"))
    namespace = _NOBODYS if began is None else _namespace()
    return f"{pid}-{began or 0}" + (f"@{namespace}" if namespace else "")


def _stat(pid: str) -> procfs.Stat:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return procfs.parse_stat(procfs.decode(file.read()))


def _proc_is_ours() -> bool:
    """Whether /proc is of the caller's pid namespace: one from above shows others by its pids."""
    with open("/proc/self/status", "rb") as file:
        status = procfs.parse_status(procfs.decode(file.read()))
    return status.get("NSpid", "").split() == [str(os.getpid())]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _namespace() -> int:
    inode = os.stat("/proc/self/ns/pid").st_ino
    return 0 if inode == _FIRST_PID_NAMESPACE else inode
