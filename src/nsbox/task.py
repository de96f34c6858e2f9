"""A task: a process or thread of this host, held by a pidfd so that it is never another."""

import contextlib
import errno
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from nsbox import procfs
from nsbox.cgroup.cgroup import Cgroup
from nsbox.cgroup.hierarchy import groups_of, hierarchies
from nsbox.display import Displayed
from nsbox.errors import UnsupportedError
from nsbox.namespace import Namespace, NamespaceType

_PIDFD_THREAD = os.O_EXCL


class Task(Displayed):
    """A process or thread, by its pid in the caller's pid namespace. See pidfd_open(2).

    Looking at it changes nothing. It is a context manager; its one descriptor is closed with it or,
    since nothing else depends on that, without a word when it is no longer used. Two are equal if
    they are the same task: pids are used again, but not with the same start time.

    Raises `ProcessLookupError` where there is no such task; `UnsupportedError` for a thread that
    is not its process's first, before Linux 6.9.
    """

    def __init__(self, pid: int) -> None:
        self._fd = -1
        self._ended = False
        if type(pid) is not int or pid <= 0:
            raise ValueError(f"pid: a number above 0, not {pid!r}")
        self.pid = pid
        self._fd = _open(pid)
        # The descriptor came first: if it is alive after this look, the look was at this task.
        self._starttime = _starttime(pid)
        if self._starttime is None:
            self.close()
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), str(pid))

    @classmethod
    def current(cls) -> "Task":
        """Return the calling process."""
        return cls(os.getpid())

    @property
    def is_thread(self) -> bool:
        """Whether it is a thread beside its process's first one."""
        return not os.path.exists(f"/proc/{self.pid}/task/{self.pid}") or self._tgid() != self.pid

    @property
    def namespaces(self) -> Mapping[NamespaceType, Namespace]:
        """The namespaces that it is in, by kind, each opened when it is looked up.

        A look-up raises `ProcessLookupError` where the task has ended, and `PermissionError`
        where the caller may not look at it.
        """
        return _Namespaces(self)

    @property
    def cgroups(self) -> Mapping[str, Cgroup]:
        """Its group by subsystem: ``memory``, ``cpu`` …; ``name=systemd`` and ``unified`` too.

        Each spans the one hierarchy that the subsystem is bound to; ``unified`` is cgroup v2.
        Raises `ProcessLookupError` where the task has ended.
        """
        found = groups_of(self.pid, hierarchies())
        self._require_alive()
        groups = {
            key: Cgroup.at({hierarchy: folder})
            for hierarchy, folder in found.items()
            for key in sorted(hierarchy.keys)
        }
        return MappingProxyType(groups)

    @property
    def threads(self) -> tuple[int, ...]:
        """The ids of all threads of its process. () where it has ended."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return tuple(sorted(int(tid) for tid in os.listdir(f"/proc/{self.pid}/task")))
        return ()

    @property
    def children(self) -> tuple["Task", ...]:
        """The processes that it started, and that live. See proc_pid_task_tid_children(5)."""
        found = []
        for tid in self.threads:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{self.pid}/task/{tid}/children", encoding="ascii") as file:
                    pids = [int(pid) for pid in file.read().split()]
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        found.append(Task(pid))
        return tuple(found)

    @property
    def alive(self) -> bool:
        """Whether it has not ended; one that has, but was not waited for, is not alive."""
        if not self._ended:
            self._ended = bool(_poll(self.fileno(), 0))
        return not self._ended

    def attach(self, cgroup: Cgroup, subsystems: Iterable[str] | None = None) -> None:
        """Move it to a group, as `Cgroup.attach` does; a thread as `Cgroup.attach_thread` does."""
        self._require_alive()
        if self.is_thread:
            cgroup.attach_thread(self.pid, subsystems)
        else:
            cgroup.attach(self, subsystems)

    def signal(self, number: int) -> None:
        """Send a signal, to it and no other. See pidfd_send_signal(2).

        Raises `ProcessLookupError` where it has ended, `PermissionError`.
        """
        signal.pidfd_send_signal(self.fileno(), number)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended, up to `timeout` seconds.

        Returns the return code as `subprocess` has it (negative: ended by that signal) for a child
        of the caller, which is left to be waited for by whoever started it; None for others.
        Raises `subprocess.TimeoutExpired`.
        """
        if not self._ended:
            if not _poll(self.fileno(), timeout):
                raise subprocess.TimeoutExpired(f"task {self.pid}", timeout or 0)
            self._ended = True
        if self._fd < 0:
            return None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            told = os.waitid(os.P_PIDFD, self._fd, options)
            if told is not None:
                exited = told.si_code == os.CLD_EXITED
                return told.si_status if exited else -told.si_status
        return None

    def fileno(self) -> int:
        """Return the pidfd, which is readable once the task has ended."""
        if self._fd < 0:
            raise ValueError("the task's descriptor is closed")
        return self._fd

    def close(self) -> None:
        """Close the pidfd; twice is harmless. What was known to have ended stays known."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._ended = self._ended or bool(_poll(fd, 0))
            os.close(fd)

    def __enter__(self) -> "Task":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return (self.pid, self._starttime) == (other.pid, other._starttime)

    def __hash__(self) -> int:
        return hash((self.pid, self._starttime))

    def __repr__(self) -> str:
        state = "closed" if self._fd < 0 else "alive" if self.alive else "ended"
        return f"<Task {self.pid} {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Task is a live handle, and cannot be pickled; its pid can")

    def _require_alive(self) -> None:
        """Make sure that what was read by the pid was read of this task."""
        if not self.alive:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), str(self.pid))

    def _tgid(self) -> int:
        with open(f"/proc/{self.pid}/status", "rb") as file:
            return int(procfs.parse_status(procfs.decode(file.read()))["Tgid"])


class _Namespaces(Mapping[NamespaceType, Namespace]):
    """What `Task.namespaces` gives."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, kind: NamespaceType) -> Namespace:
        try:
            namespace = Namespace.of(self._task, kind)
        except FileNotFoundError:
            self._task._require_alive()
            raise KeyError(kind) from None  # a kernel without this kind
        self._task._require_alive()  # else the pid could have been another's
        return namespace

    def __iter__(self) -> Iterator[NamespaceType]:
        return iter(NamespaceType)

    def __len__(self) -> int:
        return len(NamespaceType)


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), str(pid)) from None
    except OSError as error:
        # A thread that is not its process's first: EINVAL, or ENOENT since Linux 6.9.
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    try:
        return os.pidfd_open(pid, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise UnsupportedError(
            f"task: {pid} is a thread beside its process's first one, which takes Linux 6.9"
        ) from None


def _starttime(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return procfs.parse_stat(procfs.decode(file.read())).starttime
    except (FileNotFoundError, ProcessLookupError):
        return None


def _poll(descriptor: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(timeout, 0) * 1000))
