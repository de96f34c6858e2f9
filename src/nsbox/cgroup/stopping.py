"""Stopping and ending all tasks of a group, and of those below it; never the caller.

By v2's ``cgroup.freeze`` and ``cgroup.kill`` (cgroup-v2.rst) where the group is on that hierarchy;
else by the freezer (cgroup-v1/freezer-subsystem.rst) and a signal to each, by its pidfd.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Mapping

from nsbox import procfs
from nsbox.cgroup import files
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import UnsupportedError

Directories = Mapping[Hierarchy, str]


def unified(directories: Directories) -> str | None:
    """Return the folder on cgroup v2."""
    return next((folder for one, folder in directories.items() if one.version == 2), None)


def freeze(directories: Directories, timeout: float = 5.0) -> None:
    """Stop all tasks, and wait until they have stopped.

    Raises `ValueError` where the caller is among them, `TimeoutError` where some have not stopped
    in time, `UnsupportedError` where no hierarchy of the group can do it.
    """
    folder = _freezing(directories)
    if os.getpid() in _inside([folder]):
        raise ValueError("freeze: the calling process is in the group, and would stop too")
    _set_frozen(folder, frozen=True)
    if not _wait(lambda: is_frozen(directories), timeout):
        raise TimeoutError(f"freeze: not all tasks in {folder} stopped within {timeout} s")


def thaw(directories: Directories) -> None:
    """Let all tasks go on."""
    _set_frozen(_freezing(directories), frozen=False)


def is_frozen(directories: Directories) -> bool:
    """Whether all tasks are stopped, by the group itself or one above."""
    path, frozen = telling(directories)
    return frozen in (files.read(path) or "").split("\n")


def telling(directories: Directories) -> tuple[str, str]:
    """Return the file that tells whether all tasks are stopped, and its line where they are.

    Raises `UnsupportedError` where no hierarchy of the group can stop them.
    """
    folder = _freezing(directories)
    if folder == unified(directories):
        return f"{folder}/cgroup.events", "frozen 1"
    return f"{folder}/freezer.state", "FROZEN"


def kill(directories: Directories, timeout: float = 5.0) -> None:
    """End all tasks with SIGKILL, but not the caller, and wait until they are gone.

    What cannot be killed yet, as in an uninterruptible sleep, is waited for `timeout` seconds.
    """
    folder = unified(directories)
    if folder is not None:
        _kill_v2(folder)
    folders = list(directories.values())
    # What is left: tasks of v1 hierarchies alone, or all where there is no cgroup.kill.
    if _others(folders) and not _wait(lambda: not _others(folders), 0.05):
        with _held(directories):
            _kill_each(folders)
        deadline = time.monotonic() + timeout
        while _others(folders) and time.monotonic() < deadline:
            _kill_each(folders)
            time.sleep(0.002)


def _kill_v2(folder: str) -> None:
    """Write ``cgroup.kill`` (Linux 5.14), but not in a group that the caller is in or below."""
    own = os.getpid()
    if not os.path.exists(f"{folder}/cgroup.kill"):
        return
    if own not in _inside([folder]):
        try:
            files.write(f"{folder}/cgroup.kill", "1")
        except OSError as error:
            # A threaded group refuses (EOPNOTSUPP); those whose threads it holds are ended each.
            if error.errno not in files.ABSENT:
                raise
        return
    for name in files.below(folder):
        _kill_v2(f"{folder}/{name}")


@contextlib.contextmanager
def _held(directories: Directories) -> Generator[None, None, None]:
    """Keep the tasks from making others meanwhile, where a hierarchy of the group can do it."""
    try:
        folder = _freezing(directories)
    except UnsupportedError:
        yield
        return
    if os.getpid() in _inside([folder]):
        yield
        return
    with contextlib.suppress(OSError):
        freeze(directories, timeout=1.0)
    try:
        yield
    finally:
        try:
            _set_frozen(folder, frozen=False)
        except OSError as error:
            if error.errno not in files.ABSENT:
                raise


def _kill_each(folders: Iterable[str]) -> None:
    """Signal each task by a pidfd that was opened while it was in a group, and so is no other."""
    opened: dict[int, int] = {}
    try:
        for pid in _others(folders):
            with contextlib.suppress(ProcessLookupError):
                opened[pid] = os.pidfd_open(pid)
        for pid in _others(folders):
            if pid in opened:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(opened[pid], signal.SIGKILL)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _others(folders: Iterable[str]) -> set[int]:
    return _inside(folders) - {os.getpid()}


def _inside(folders: Iterable[str]) -> set[int]:
    """Return the processes in groups and in all below them, by a thread at least."""
    groups = [group for folder in folders for group in files.walk(folder)]
    return {pid for group in groups for pid in _processes(group)}


def _processes(group: str) -> set[int]:
    text = files.read(f"{group}/cgroup.procs")
    if text is None:  # a threaded group of v2, which lists its threads alone
        tids = files.numbers(f"{group}/cgroup.threads")
        return {pid for tid in tids if (pid := _process_of(tid))}
    return {pid for line in text.split() if (pid := int(line))}


def _process_of(tid: int) -> int | None:
    text = files.read(f"/proc/{tid}/status")
    return None if text is None else int(procfs.parse_status(text)["Tgid"])


def _freezing(directories: Directories) -> str:
    folder = unified(directories)
    if folder is not None and os.path.exists(f"{folder}/cgroup.freeze"):
        return folder
    for hierarchy, one in directories.items():
        if "freezer" in hierarchy.subsystems:
            return one
    raise UnsupportedError(
        "freeze: the group is neither on cgroup v2 (Linux 5.2) nor in a freezer hierarchy; "
        "make it with subsystems={'freezer'} too"
    )


def _set_frozen(folder: str, *, frozen: bool) -> None:
    if os.path.exists(f"{folder}/freezer.state"):
        files.write(f"{folder}/freezer.state", "FROZEN" if frozen else "THAWED")
    else:
        files.write(f"{folder}/cgroup.freeze", "1" if frozen else "0")


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    """Look again and again, at growing distances."""
    deadline, pause = time.monotonic() + timeout, 0.0002
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True
