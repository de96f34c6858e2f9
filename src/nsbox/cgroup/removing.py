"""Removing groups, with all below them: rmdir(2), the lowest first."""

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Mapping

from nsbox.cgroup import files
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.cgroup.making import VERSIONS


def remove(folders: Iterable[str], timeout: float = 5.0) -> None:
    """Remove groups that hold no tasks any more; those that are gone already are no error.

    A task that was killed leaves its group a moment later: that is waited for, up to `timeout`
    seconds. Raises `OSError` EBUSY for a group that still holds some then.
    """
    deadline = time.monotonic() + timeout
    for folder in folders:
        for group in reversed(files.walk(folder)):
            _remove(group, deadline)


def _remove(group: str, deadline: float) -> None:
    pause = 0.0005
    while True:
        try:
            os.rmdir(group)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def bring_home(groups: Mapping[Hierarchy, str], home: Mapping[Hierarchy, str]) -> None:
    """Move the calling process's own threads out of groups, to where it was before."""
    own = {int(tid) for tid in os.listdir("/proc/self/task")}
    for hierarchy, top in groups.items():
        rules = VERSIONS[hierarchy.version]
        for group in files.walk(top):
            for tid in own.intersection(files.numbers(f"{group}/{rules.THREADS}")):
                _move(hierarchy, home[hierarchy], tid)


def _move(hierarchy: Hierarchy, folder: str, tid: int) -> None:
    rules = VERSIONS[hierarchy.version]
    with contextlib.suppress(ProcessLookupError):  # a thread may have ended by now
        try:
            files.write(f"{folder}/{rules.THREADS}", str(tid))
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            # On v2 a thread moves alone only within a threaded domain; else the process does.
            files.write(f"{folder}/cgroup.procs", str(os.getpid()))
