"""A live group: one folder in each hierarchy that it spans. See cgroups(7)."""

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from nsbox.cgroup import (
    attaching,
    batch,
    changing,
    delegation,
    finding,
    making,
    reading,
    removing,
    stopping,
)
from nsbox.cgroup.events import Events
from nsbox.cgroup.finding import Span
from nsbox.cgroup.hierarchy import ROOT, Hierarchy, own_groups
from nsbox.cgroup.pressure import Pressure
from nsbox.cgroup.resources import Resources
from nsbox.cgroup.stats import Stats
from nsbox.cgroup.trigger import Trigger
from nsbox.display import Displayed, Printer
from nsbox.errors import UnsupportedError
from nsbox.frozen import FrozenMap


class HasPid(Protocol):
    """A task, as far as groups care."""

    @property
    def pid(self) -> int:
        """Its number in the caller's pid namespace."""


class Cgroup(Displayed):
    """A group of tasks, whatever hierarchies and versions it takes; made by the class methods.

    Two are equal if there is a hierarchy that both span, and their folders are the same in each
    such: so the group of a task as one subsystem sees it equals the one that spans several.

    One that was made by `create` is its maker's: leaving its with-block, or `close`, ends what is
    in it (never the calling process, which is moved back to where it was) and removes it. The
    others are only looked at, and closing them does nothing.
    """

    def __init__(
        self, spans: Mapping[Hierarchy, Span], home: Mapping[Hierarchy, str] | None = None
    ) -> None:
        """Not to be called: `home` is where the maker was, for one that it made."""
        self._spans = dict(spans)
        self._home = home
        self._maker = None if home is None else os.getpid()
        self._warns = home is not None

    # How to come by one.

    @classmethod
    def create(
        cls,
        name: str,
        resources: Resources = Resources(),
        *,
        subsystems: Iterable[str] | None = None,
        parent: "Cgroup | None" = None,
    ) -> "Cgroup":
        """Make a group, below the calling process's own or below `parent`.

        It is made in each hierarchy that `subsystems` (by kernel names; ``io`` and ``blkio`` are
        one, ``name=NAME`` is a named hierarchy) and the limits in `resources` need; with neither,
        in all that the caller may use. It is also made in the hierarchy that stops and ends tasks:
        cgroup v2 if it is mounted, else the freezer's.

        Raises `UnsupportedError` for what this host, or this caller, cannot have, and says what
        would help; `StepError` (`FileExistsError` …) for a step that failed. Nothing is left then.
        """
        if parent is not None:
            return parent._make(name, resources, subsystems)
        finding.check_name(name)
        wish = resources.resolved()
        own = own_groups()
        return cls._made(making.own_places(subsystems, wish, own), name, wish, own)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, root: Path = ROOT) -> "Cgroup":
        """Find a group that exists: by name below the caller's own, or by an absolute folder.

        A folder is one hierarchy's; a name is looked for in all. Raises `FileNotFoundError`.
        """
        return cls(finding.by_path(os.fspath(path), root))

    @classmethod
    def of(cls, task: HasPid | int, subsystem: str | None = None, *, root: Path = ROOT) -> "Cgroup":
        """Return the group that a task is in, as one subsystem sees it.

        Without a `subsystem`: as the hierarchy sees it that stops and ends tasks, together with all
        others where the group has the same name. Raises `ProcessLookupError`, `UnsupportedError`.
        """
        pid = task if isinstance(task, int) else task.pid
        return cls(finding.of_task(pid, subsystem, root))

    @classmethod
    def at(cls, folders: Mapping[Hierarchy, str]) -> "Cgroup":
        """Return the group with these folders, without a look at whether they are there."""
        return cls(finding.spans(folders))

    @classmethod
    def enter_leaf(cls) -> "Cgroup | None":
        """Move the calling process into a group of its own, so that others can be made beside it.

        For callers in a group of cgroup v2 that is delegated to them, but that holds the caller
        itself: see cgroup-v2.rst, "No Internal Process Constraint". Returns the new group, None
        where nothing had to be done. It stays: `nsbox.reap` removes it once the caller is dead.
        """
        leaf = delegation.enter_leaf()
        return None if leaf is None else cls.open(leaf)

    def child(
        self,
        name: str,
        resources: Resources = Resources(),
        *,
        subsystems: Iterable[str] | None = None,
    ) -> "Cgroup":
        """Make a group below this one, in the same hierarchies; it ends with this one at latest."""
        made = self._make(name, resources, subsystems)
        made._warns = False
        return made

    # What it is.

    @property
    def directories(self) -> Mapping[Hierarchy, Path]:
        """Its folder in each hierarchy that it spans."""
        return FrozenMap({hierarchy: Path(span.folder) for hierarchy, span in self._spans.items()})

    @property
    def folders(self) -> dict[Hierarchy, str]:
        """The same as text."""
        return {hierarchy: span.folder for hierarchy, span in self._spans.items()}

    @property
    def subsystems(self) -> frozenset[str]:
        """The subsystems that it is for, over all hierarchies."""
        return frozenset(
            name for one, span in self._spans.items() for name in one.keys & span.names
        )

    @property
    def path(self) -> str:
        """Its path in the hierarchy that stops and ends tasks, or the first; ``/`` is the root."""
        hierarchy, span = finding.primary(self._spans)
        return span.folder.removeprefix(hierarchy.mountpoint.rstrip("/")) or "/"

    @property
    def name(self) -> str:
        """The last part of its path; of the root ``/``."""
        return os.path.basename(self.path) or "/"

    @property
    def depth(self) -> int:
        """How many groups are above it in its path: 0 for the root."""
        return len([part for part in self.path.split("/") if part])

    @property
    def parent(self) -> "Cgroup | None":
        """The group above, in those hierarchies where it has one name; None above the root."""
        spans = finding.above(self._spans)
        return Cgroup(spans) if spans else None

    @property
    def children(self) -> tuple["Cgroup", ...]:
        """The groups directly below, by name, each in the hierarchies where it exists."""
        return tuple(Cgroup(spans) for spans in finding.below(self._spans))

    def walk(self) -> Iterator["Cgroup"]:
        """Go through this group and all below it, each before those below itself."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def exists(self) -> bool:
        """Whether it is still there, in any of its hierarchies."""
        return any(os.path.isdir(span.folder) for span in self._spans.values())

    # The tasks in it.

    @property
    def pids(self) -> frozenset[int]:
        """The processes in it, in any of its hierarchies; those in groups below are not."""
        return attaching.processes(self._spans)

    @property
    def threads(self) -> frozenset[int]:
        """The threads in it, in any of its hierarchies; those in groups below are not."""
        return attaching.threads(self._spans)

    def attach(self, task: HasPid | int, subsystems: Iterable[str] | None = None) -> None:
        """Move a process here with all its threads: in all hierarchies, or for some subsystems.

        Raises `UnsupportedError`, and moves nothing, for subsystems that share their hierarchy with
        others of this group, as all do on cgroup v2; `StepError` (`ProcessLookupError`,
        `PermissionError` …) where the kernel refuses, after moving it back where it was.
        """
        pid = task if isinstance(task, int) else task.pid
        attaching.attach(self._spans, pid, subsystems, thread=False)

    def attach_thread(self, tid: int, subsystems: Iterable[str] | None = None) -> None:
        """Move one thread here: anywhere on v1, on v2 into a threaded group of the same domain.

        Raises as `attach` does.
        """
        attaching.attach(self._spans, tid, subsystems, thread=True)

    @property
    def type(self) -> str | None:
        """Of v2: ``domain``, ``threaded``, ``domain threaded`` or ``domain invalid``; else None."""
        return attaching.kind(self._spans)

    def make_threaded(self) -> None:
        """Make it a threaded group (v2), for single threads. See cgroup-v2.rst, "Threads"."""
        attaching.make_threaded(self._spans)

    # What it may use, and uses.

    @property
    def resources(self) -> Resources:
        """Its limits, read back from the kernel; None for what it has no file of."""
        return reading.resources(self._folders().readers())

    def set(self, resources: Resources) -> None:
        """Change those limits that are given, all or none.

        Raises `UnsupportedError`, before anything is touched, for what the group or its version
        cannot do; `StepError` for what the kernel refuses.
        """
        changing.change(self._spans, resources.resolved(), self.resources)

    def stats(self, *, tree: bool = False) -> Stats:
        """Read every figure that its subsystems tell.

        Groups below are counted in by the kernel, save for v1's limits met and OOM kills: `tree`
        adds those of all groups below. Throttling is always that by the group's own limit.
        """
        found = batch.Batch([self._folders()]).read().texts(0).stats()
        if tree:
            below = (child._folders().readers() for child in self.walk() if child is not self)
            found = reading.with_below(found, below)
        return found

    @property
    def pressure(self) -> Pressure:
        """How long tasks waited for CPU, memory and I/O. Raises `UnsupportedError` without v2."""
        return self.stats().pressure

    def trigger(
        self,
        resource: Literal["cpu", "memory", "io", "irq"],
        kind: Literal["some", "full"] = "some",
        *,
        stall: float,
        window: float,
    ) -> Trigger:
        """Have the kernel tell when tasks waited `stall` seconds of `window` for a resource.

        A window is 0.5 to 10 s, and a multiple of 2 s for callers without CAP_SYS_RESOURCE. See
        Documentation/accounting/psi.rst. Raises `UnsupportedError` for a group that is not on v2,
        `OSError`.
        """
        folder = stopping.unified(self.folders)
        if folder is None:
            raise UnsupportedError("trigger: pressure is told by cgroup v2: the group is not on it")
        return Trigger(folder, resource, kind, stall, window)

    def events(self) -> Events:
        """Listen to what happens in it, from now on; see `Events`."""
        return Events(self.folders)

    # Stopping and ending.

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop all tasks here and below, and wait until they have stopped, up to `timeout` s.

        Raises `ValueError` where the caller is among them, `TimeoutError`, `UnsupportedError`.
        """
        stopping.freeze(self.folders, timeout)

    def thaw(self) -> None:
        """Let all tasks go on."""
        stopping.thaw(self.folders)

    @property
    def frozen(self) -> bool:
        """Whether all tasks are stopped."""
        return stopping.is_frozen(self.folders)

    def kill(self, timeout: float = 5.0) -> None:
        """End all tasks here and below with SIGKILL, but never the calling process."""
        stopping.kill(self.folders, timeout)

    def remove(self, timeout: float = 5.0) -> None:
        """Remove it with all groups below; none may hold tasks. Gone already is no error.

        Raises `OSError` EBUSY where tasks are in it still, `timeout` seconds later.
        """
        removing.remove(self.folders.values(), timeout)
        self._maker = None

    def close(self) -> None:
        """End and remove what `create` or `child` made here; twice is harmless."""
        if self._maker != os.getpid():  # not ours: looked at only, or copied by a fork
            return
        self._maker = None
        folders = self.folders
        stopping.kill(folders)
        removing.bring_home(folders, self._home or {})
        removing.remove(folders.values())

    def __enter__(self) -> "Cgroup":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_warns", False) and self._maker == os.getpid() and self.exists:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            with contextlib.suppress(OSError):
                self.close()

    # How it shows, and compares.

    def tree(self) -> str:
        """Draw it for a terminal: groups, usage against limits, tasks."""
        from nsbox.display import trees  # noqa: PLC0415 - only what is shown pays for it

        return trees.text(trees.look(self))

    def _repr_svg_(self) -> str:
        from nsbox.display import groups  # noqa: PLC0415

        return groups.svg(self)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: ARG002
        printer.text(self.tree())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cgroup):
            return NotImplemented
        shared = self._spans.keys() & other._spans.keys()
        same = (self._spans[one].folder == other._spans[one].folder for one in shared)
        return bool(shared) and all(same)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<Cgroup {self.path} {{{', '.join(sorted(self.subsystems))}}}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Cgroup is a live handle; pickle its Resources and its name instead")

    # Inside.

    @classmethod
    def _made(
        cls,
        places: tuple[making.Place, ...],
        name: str,
        wish: Resources,
        home: Mapping[Hierarchy, str],
    ) -> "Cgroup":
        making.make(places, name, wish)
        spans = {
            place.hierarchy: Span(f"{place.parent}/{name}", place.subsystems) for place in places
        }
        return cls(spans, home)

    def _make(self, name: str, resources: Resources, subsystems: Iterable[str] | None) -> "Cgroup":
        finding.check_name(name)
        wish = resources.resolved()
        home = own_groups() if self._home is None else self._home
        return self._made(finding.places_below(self._spans, subsystems, wish), name, wish, home)

    def _folders(self) -> reading.Folders:
        return reading.Folders.of(self.folders, self.subsystems)
