"""A `BoxSpec` lowered: the whole list of steps, in the order that the kernel asks for.

1. leave the caller: the clone with its new namespaces, who is who in them, the descriptors;
2. become the box's first process, a program with memory of its own;
3. build the machine: names, root file system, loopback;
4. give up rights, start the command's process, and exec.
"""

import functools
import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import _native, hints
from nsbox._native import Encoded
from nsbox._native.operations import Operation
from nsbox.cgroup import lower as cgroups
from nsbox.constants import Capability, CloneFlag, CloseRangeFlag
from nsbox.errors import StepError
from nsbox.namespace import Choice, NamespaceType
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Slot, Step, encode
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs.mount import BindMount
from nsbox.security import capabilities

if TYPE_CHECKING:
    from nsbox.box import BoxSpec

UMASK = 0o022

_numbers = itertools.count(1)


@attrs.frozen
class Caller:
    """Who starts a box, as far as the steps depend on it."""

    uid: int
    gid: int
    privileged: bool
    folder: str
    pid: int

    @classmethod
    def current(cls) -> "Caller":
        """Look at the calling thread. See credentials(7), capabilities(7)."""
        privileged = bool(_native.capabilities() & Capability.CAP_SYS_ADMIN)
        return cls(os.geteuid(), os.getegid(), privileged, os.getcwd(), os.getpid())


@attrs.frozen(eq=False)
class Lowered:
    """The steps of a spec, encoded once and used for every box that is started from it."""

    steps: tuple[Step, ...]
    encoded: Encoded
    sources: tuple[tuple[int, str], ...]
    groups: tuple[str, ...]
    end_signal: int

    def next_box(self) -> tuple[Encoded, tuple[str, ...]]:
        """Return the plan and the group folders of one more box: its number filled in."""
        if not self.groups:
            return self.encoded, ()
        number = f"{next(_numbers):0{len(cgroups.NUMBER)}}"
        data = self.encoded.data.replace(cgroups.NUMBER.encode(), number.encode())
        folders = (folder.replace(cgroups.NUMBER, number) for folder in self.groups)
        return self.encoded._replace(data=data), tuple(folders)

    def check_sources(self, box: str | None) -> None:
        """Look for what the caller wants to be shown, before anything is made."""
        for index, path in self.sources:
            try:
                os.stat(path)
            except OSError as error:
                assert error.errno is not None
                raise self.failure(index, error.errno, (), box) from None

    def failure(
        self, index: int, errno: int, args: Sequence[StrOrBytesPath], box: str | None
    ) -> StepError:
        """Make the error for the step that failed."""
        step = self.steps[min(max(index, 0), len(self.steps) - 1)]
        if step.operation is Operation.EXECVE:
            step = _execve(args)
        return StepError.of(step, errno, index, box=box, hint=hints.hint(step, errno))


def plan(spec: "BoxSpec", args: Sequence[StrOrBytesPath]) -> Plan:
    """Return the printable plan of a spec for the calling process."""
    *steps, _ = lower(spec).steps
    return Plan((*steps, _execve(args))) if args else Plan(tuple(steps))


def lower(spec: "BoxSpec") -> Lowered:
    """Lower a spec for the calling process; the result is kept for the next box of the spec."""
    if spec.rootfs.path is not None and spec.rootfs.readonly:
        return _lower(spec, Caller.current())  # may show a folder's entries: look each time
    return _kept(spec, Caller.current())


def _lower(spec: "BoxSpec", caller: Caller) -> Lowered:
    groups = cgroups.lower(spec.resources)
    steps = tuple(_steps(spec, caller, groups))
    wanted = {os.path.abspath(mount.source) for mount in _binds(spec)}
    if spec.rootfs.path is not None:
        wanted.add(os.path.abspath(spec.rootfs.path))
    sources = tuple(
        (index, str(step.arguments[2]))
        for index, step in enumerate(steps)
        if step.operation is Operation.OPEN_TREE and step.arguments[2] in wanted
    )
    return Lowered(steps, encode(steps), sources, groups.folders, _end_signal(spec))


_kept = functools.lru_cache(maxsize=64)(_lower)


def _end_signal(spec: "BoxSpec") -> int:
    """Return what ends the whole box: as process 1, anything that kills; else see supervise.c."""
    own_pids = spec.namespaces.get(NamespaceType.PID) is Choice.NEW
    return signal.SIGKILL if own_pids or not spec.init else signal.SIGRTMAX


def _binds(spec: "BoxSpec") -> Iterator[BindMount]:
    return (mount for mount in spec.rootfs.mounts if isinstance(mount, BindMount))


def _execve(args: Sequence[StrOrBytesPath]) -> Step:
    shown = tuple(os.fsdecode(argument) for argument in args)
    return Step(Operation.EXECVE, (shown[0] if shown else "", shown))


def _steps(spec: "BoxSpec", caller: Caller, groups: cgroups.Groups) -> Iterator[Step]:
    new = {kind for kind, choice in spec.namespaces.items() if choice is Choice.NEW}
    if not caller.privileged and NamespaceType.USER not in spec.namespaces:
        new.add(NamespaceType.USER)
    yield from groups.make
    yield from _leave_caller(spec, caller, new, groups)
    if spec.init:
        yield Step(Operation.EXECVEAT)
        yield Step(Operation.SETSID)
    yield from _machine(spec, new)
    yield from capabilities.steps(capabilities.DEFAULT_CAPABILITIES)
    if spec.init:
        yield Step(Operation.VFORK)
    yield from _command(spec)


def _leave_caller(
    spec: "BoxSpec", caller: Caller, new: set[NamespaceType], groups: cgroups.Groups
) -> Iterator[Step]:
    # A cgroup namespace shows as its root the group that its maker is in: so after joining.
    later = {NamespaceType.CGROUP} & new if groups.join else set()
    yield Step(Operation.CLONE3, (_flags(new - later),))
    yield Step(Operation.UNSHARE_FILES)
    yield from groups.join
    if later:
        yield Step(Operation.UNSHARE, (_flags(later),))
    if NamespaceType.USER in new:
        uid_line, gid_line = spec.id_map.lines(caller.uid, caller.gid)
        # In this order: a gid_map takes no entry of an unprivileged writer before the "deny".
        yield Step(Operation.WRITE, ("/proc/self/setgroups", b"deny"))
        yield Step(Operation.WRITE, ("/proc/self/uid_map", uid_line.encode()))
        yield Step(Operation.WRITE, ("/proc/self/gid_map", gid_line.encode()))
        if spec.init and not uid_line.startswith("0 "):
            yield Step(Operation.AMBIENT, (capabilities.ALL_CAPABILITIES,))
    yield Step(Operation.DUP2)


def _flags(kinds: set[NamespaceType]) -> CloneFlag:
    flags = CloneFlag(0)
    for kind in kinds:
        flags |= kind.clone_flag
    return flags


def _machine(spec: "BoxSpec", new: set[NamespaceType]) -> Iterator[Step]:
    yield Step(Operation.UMASK, (0,))
    if spec.hostname is not None:
        yield Step(Operation.SETHOSTNAME, (spec.hostname,))
    yield from rootfs.steps(spec.rootfs)
    if NamespaceType.NET in new:
        yield Step(Operation.LOOPBACK_UP)


def _command(spec: "BoxSpec") -> Iterator[Step]:
    yield Step(Operation.SETSID)
    yield Step(Operation.UMASK, (UMASK,))
    yield Step(Operation.CHDIR, (spec.cwd,))
    yield Step(Operation.SIGNALS)
    yield Step(Operation.CLOSE_RANGE, (Slot.PAGE, CloseRangeFlag.CLOSE_RANGE_CLOEXEC))
    yield _execve(())
