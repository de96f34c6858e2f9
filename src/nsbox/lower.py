"""A `BoxSpec` lowered: the whole list of steps, in the order that the kernel asks for.

1. leave the caller: the clone with its new namespaces, who is who in them, the descriptors;
2. become the box's first process, a program with memory of its own;
3. join what namespaces there are to be joined;
4. build the machine: names, root file system, loopback;
5. give up rights, start the command's process, and exec.
"""

import functools
import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import hints
from nsbox._native import Encoded
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import lower as cgroups
from nsbox.constants import CloseRangeFlag
from nsbox.errors import StepError
from nsbox.namespace import Choice, NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.namespace.joining import Lineup, line_up
from nsbox.namespace.types import clone_flags
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Slot, Step, encode
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs.mount import BindMount
from nsbox.security import capabilities

if TYPE_CHECKING:
    from nsbox.box import BoxSpec

UMASK = 0o022

_numbers = itertools.count(1)


@attrs.frozen(eq=False)
class Lowered:
    """The steps of a spec, encoded once and used for every box that is started from it."""

    steps: tuple[Step, ...]
    encoded: Encoded
    sources: tuple[tuple[int, str], ...]
    groups: tuple[str, ...]
    end_signal: int
    joins: bool

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
    joins = any(step.operation is Operation.SETNS for step in steps)
    return Lowered(steps, encode(steps), sources, groups.folders, _end_signal(spec), joins)


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
    lineup = line_up(spec.namespaces, spec.id_map, caller)
    # Whose rights count in the new namespaces: known only once a user namespace has been joined.
    late = bool(lineup.joined) and lineup.changes_user
    yield from groups.make
    yield from _leave_caller(spec, caller, frozenset() if late else lineup.new, groups)
    if spec.init:
        yield Step(Operation.EXECVEAT)
        yield Step(Operation.NOT_DUMPABLE)  # from here on nobody in the box can trace it
        yield from _join(lineup, caller)
        if late:
            yield from _make_late(spec, lineup, caller)
        yield Step(Operation.SETSID)
    yield from _machine(spec, lineup)
    yield from capabilities.steps(capabilities.DEFAULT_CAPABILITIES)
    if spec.init:
        yield Step(Operation.VFORK)
    yield from _command(spec)


def _leave_caller(
    spec: "BoxSpec", caller: Caller, new: frozenset[NamespaceType], groups: cgroups.Groups
) -> Iterator[Step]:
    # A cgroup namespace shows as its root the group that its maker is in: so after joining.
    later = {NamespaceType.CGROUP} & new if groups.join else set()
    yield Step(Operation.CLONE3, (clone_flags(new - later),))
    yield Step(Operation.UNSHARE_FILES)
    yield from groups.join
    if later:
        yield Step(Operation.UNSHARE, (clone_flags(later),))
    if NamespaceType.USER in new:
        yield from map_steps(spec.id_map, caller)
        if spec.init and spec.id_map.uid != 0:
            yield Step(Operation.AMBIENT, (capabilities.ALL_CAPABILITIES,))
    yield Step(Operation.DUP2)


def _join(lineup: Lineup, caller: Caller) -> Iterator[Step]:
    """Join namespaces while the rights to them are there: a user namespace changes them."""
    user_last = sorted(lineup.joined, key=lambda kind: kind is NamespaceType.USER)
    if NamespaceType.USER in lineup.joined and caller.maps_freely:
        yield Step(Operation.SETGROUPS)
    for kind in user_last if caller.privileged else reversed(user_last):
        yield Step(Operation.SETNS, (kind.slot, lineup.joined[kind], kind.clone_flag))


def _make_late(spec: "BoxSpec", lineup: Lineup, caller: Caller) -> Iterator[Step]:
    """Make the new namespaces in, or together with, the user namespace that is to own them."""
    flags = clone_flags(lineup.new)
    if NamespaceType.PID in lineup.new:  # whose process 1 is to be ours
        yield Step(Operation.CLONE3, (flags,))
    elif flags:
        yield Step(Operation.UNSHARE, (flags,))
    if NamespaceType.USER in lineup.new:
        yield from map_steps(spec.id_map, caller)
        return
    for operation, id_ in (
        (Operation.SETRESGID, spec.id_map.gid),
        (Operation.SETRESUID, spec.id_map.uid),
    ):
        if id_ is not None:
            yield Step(operation, (id_, id_, id_))


def _machine(spec: "BoxSpec", lineup: Lineup) -> Iterator[Step]:
    yield Step(Operation.UMASK, (0,))
    if spec.hostname is not None:
        yield Step(Operation.SETHOSTNAME, (spec.hostname,))
    if NamespaceType.MNT in lineup.new:
        yield from rootfs.steps(spec.rootfs)
    if NamespaceType.NET in lineup.new:
        yield Step(Operation.LOOPBACK_UP)


def _command(spec: "BoxSpec") -> Iterator[Step]:
    yield Step(Operation.SETSID)
    yield Step(Operation.UMASK, (UMASK,))
    yield Step(Operation.CHDIR, (spec.cwd,))
    yield Step(Operation.SIGNALS)
    yield Step(Operation.CLOSE_RANGE, (Slot.PAGE, CloseRangeFlag.CLOSE_RANGE_CLOEXEC))
    yield _execve(())
