"""A namespace as a handle: looked at, made, entered, pinned."""

import contextlib
import fcntl
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from nsbox._native import Launched
from nsbox.constants import NamespaceRequest
from nsbox.display import Displayed
from nsbox.namespace import create, entering, listing, pinned
from nsbox.namespace.idmap import IDMap
from nsbox.namespace.offsets import TimeOffsets
from nsbox.namespace.types import NamespaceType

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


_opening = threading.Lock()
"""Of one that was listed, two threads at once would open it twice and forget a descriptor."""


class HasPid(Protocol):
    """A task, a process, or anything else that is known by its pid."""

    @property
    def pid(self) -> int:
        """The process id, as the caller sees it."""


class Namespace(Displayed):
    """A namespace of the kernel; made by `create`, `current`, `of` or `open`. See namespaces(7).

    Two are equal, and hash alike, if they are the same namespace: by (device, inode) of their
    file. A handle keeps its namespace alive until `close`, or the end of its ``with`` block;
    what is only looked at is let go when its handle is garbage.
    """

    def __init__(
        self,
        type: NamespaceType,  # noqa: A002
        identity: tuple[int, int],
        *,
        fd: int = -1,
        path: str | None = None,
        owned: bool = False,
    ) -> None:
        self.type = type
        self._identity = identity
        self._fd = fd
        self._path = path  # where to open it on first use
        self._keeper: Launched | None = None
        self._owned = owned  # to be closed by whoever asked for it, and a warning if forgotten

    # How to get one.

    @classmethod
    def create(
        cls,
        type: NamespaceType,  # noqa: A002
        *,
        id_map: IDMap | None = None,
        monotonic: float = 0,
        boottime: float = 0,
    ) -> "Namespace":
        """Make a namespace; the caller stays where it is, and may have threads.

        It lives as long as the handle is open, something is in it, or it is pinned. A caller
        without CAP_SYS_ADMIN gets it together with a user namespace that owns it, in which
        `id_map` says who is who; this is also the map of a USER namespace (the caller as root if
        None). `monotonic` and `boottime` are the `TimeOffsets` of a TIME namespace. The loopback
        link of a NET namespace is up. A PID namespace is kept by a first process that reaps
        orphans; it ends with the handle, and all others in it.

        Raises `StepError` (an `OSError`) for the step that failed, `UnsupportedError` for a map
        that the caller has no right to, and `ValueError` for what a kind has not. See
        unshare(2), user_namespaces(7), time_namespaces(7), pid_namespaces(7).
        """
        offsets = TimeOffsets(monotonic=monotonic, boottime=boottime)
        made = cls(type, (0, 0))
        # At once, so that nothing is lost whatever a signal handler raises.
        made._fd, made._keeper = create.create(type, id_map, offsets)
        made._identity = _identity(made._fd)
        made._owned = True
        return made

    @classmethod
    def current(cls, type: NamespaceType) -> "Namespace":  # noqa: A002
        """Return the one that the calling thread is in. See ``/proc/thread-self/ns``."""
        return cls._looked_at(type, f"/proc/thread-self/ns/{type.proc_name}")

    @classmethod
    def of(cls, task: HasPid | int, type: NamespaceType) -> "Namespace":  # noqa: A002
        """Return the one that a task (or the process of that pid) is in.

        Raises `FileNotFoundError` where there is no such process, and `PermissionError` where the
        caller may not look at it: ptrace(2), "Ptrace access mode checking".
        """
        pid = task if isinstance(task, int) else task.pid
        return cls._looked_at(type, f"/proc/{pid}/ns/{type.proc_name}")

    @classmethod
    def open(cls, file: str | os.PathLike[str] | int) -> "Namespace":
        """Open the namespace that a file stands for: in ``/proc/PID/ns``, or one that is pinned.

        A descriptor is duplicated, and stays the caller's. Raises `OSError` where the file cannot
        be opened, and `ValueError` where it stands for no namespace.
        """
        if isinstance(file, int):
            fd = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 0)
        else:
            fd = pinned.open_namespace(file)
        try:
            found = cls(pinned.type_of(fd, str(file)), _identity(fd), owned=True)
        except BaseException:
            os.close(fd)
            raise
        found._fd = fd
        return found

    @classmethod
    def _of_children(cls, type: NamespaceType) -> "Namespace":  # noqa: A002
        """Return the one that setns(2) changes: of a PID namespace, where children will be."""
        which = "pid_for_children" if type is NamespaceType.PID else type.proc_name
        return cls._looked_at(type, f"/proc/thread-self/ns/{which}")

    @classmethod
    def _looked_at(cls, type: NamespaceType, path: str) -> "Namespace":  # noqa: A002
        found = cls(type, (0, 0))
        found._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found._identity = _identity(found._fd)
        return found

    # What it is.

    @property
    def device(self) -> int:
        """The device number of its file."""
        return self._identity[0]

    @property
    def inode(self) -> int:
        """The inode number of its file, as ``readlink /proc/PID/ns/…`` shows it."""
        return self._identity[1]

    @property
    def user_namespace(self) -> "Namespace":
        """The user namespace that owns it; of a user namespace, its parent.

        Raises `PermissionError` where that is out of the caller's sight. See ioctl_nsfs(2).
        """
        return self._related(NamespaceType.USER, NamespaceRequest.NS_GET_USERNS)

    @property
    def parent(self) -> "Namespace | None":
        """The one that a PID or USER namespace is in; None for the first, and for other kinds.

        None, too, where the parent is out of the caller's sight. See ioctl_nsfs(2).
        """
        if self.type not in (NamespaceType.PID, NamespaceType.USER):
            return None
        try:
            return self._related(self.type, NamespaceRequest.NS_GET_PARENT)
        except PermissionError:
            return None

    @property
    def owner_uid(self) -> int:
        """The user id, as the caller sees it, of who made the user namespace that owns it.

        Of a user namespace, of who made itself. See ioctl_nsfs(2).
        """
        if self.type is not NamespaceType.USER:
            return self.user_namespace.owner_uid
        uid = bytearray(4)
        fcntl.ioctl(self.fileno(), NamespaceRequest.NS_GET_OWNER_UID, uid)
        return int.from_bytes(uid, sys.byteorder)

    def pids(self) -> tuple[int, ...]:
        """List the processes that are in it now, as far as the caller may look at them.

        Of each process its main thread counts, as for lsns(8).
        """
        return tuple(sorted(listing.pids(self.type, self._identity)))

    # How to be in it.

    @contextlib.contextmanager
    def entered(self) -> Iterator["Namespace"]:
        """Move the calling thread into it for a ``with`` block, and back whatever happens.

        Other threads stay where they are. For a PID namespace it is the processes that the thread
        starts meanwhile that are in it; the thread cannot start threads then. MNT is for `call`,
        since a thread shares its root and working folder with the others. USER and TIME cannot be
        entered by a process with threads: start a box in them.

        Raises `UnsupportedError` for these kinds, and `StepError`, `PermissionError` mostly, where
        the kernel refuses. See setns(2).
        """
        entering.check(self, alone=False)
        with entering.entered(self, Namespace._of_children(self.type)):
            yield self

    def call(
        self,
        function: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function in a thread of its own that is in this namespace; return its result.

        The thread shares the caller's memory, and ends with the call. Raises what the function
        raises, and what `entered` does for the move; MNT can be called into.
        """
        entering.check(self, alone=True)
        return entering.call(self, functools.partial(function, *args, **kwargs))

    # How to keep it.

    def pin(self, path: str | os.PathLike[str]) -> Path:
        """Mount it on a file, which keeps it alive until `nsbox.unpin`; return the path.

        The file is made if it is missing. ``ip netns`` knows a network namespace by its file in
        ``/run/netns``, and nsenter(1) any by its path. Raises `StepError` where it cannot be
        mounted, and `FileExistsError` where a namespace is pinned there already.
        """
        return pinned.pin(self.fileno(), Path(path))

    def fileno(self) -> int:
        """Return its descriptor.

        Raises `ValueError` after `close`, and `FileNotFoundError` where one that was only listed
        is gone.
        """
        if self._fd < 0:
            with _opening:
                if self._fd < 0:
                    if self._path is None:
                        raise ValueError(f"{self!r} is closed")
                    self._fd = self._open_listed(self._path)
        return self._fd

    def close(self) -> None:
        """Let go of it. Twice is harmless."""
        self._path = None
        if self._keeper is not None:
            self._keeper.end()
            self._keeper = None
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0 or getattr(self, "_keeper", None) is not None:
            if self._owned:
                warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Namespace) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return f"{self.type.proc_name}:[{self.inode}]"

    def __repr__(self) -> str:
        closed = " closed" if self._fd < 0 and self._path is None else ""
        return f"<Namespace {self}{closed}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Namespace is a live handle; pickle the path of its pin, or make another elsewhere"
        )

    def _related(self, type: NamespaceType, request: NamespaceRequest) -> "Namespace":  # noqa: A002
        fd = fcntl.ioctl(self.fileno(), request)
        return Namespace(type, _identity(fd), fd=fd)

    def _open_listed(self, path: str) -> int:
        """Open one that was listed, if it is still there."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if _identity(fd) != self._identity:
            os.close(fd)
            raise FileNotFoundError(2, "the process has left this namespace", path)
        return fd


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def namespaces() -> tuple[Namespace, ...]:
    """List the namespaces of all processes that the caller may look at, as lsns(8) does.

    One pass over /proc, which opens none of them: a handle does so when it is used, and raises
    `FileNotFoundError` if its namespace has gone by then.
    """
    return tuple(
        Namespace(kind, identity, path=path)
        for identity, (kind, path) in listing.all_namespaces().items()
    )
