"""A `BoxSpec` lowered: the whole list of steps, in the order that the kernel asks for.

1. leave the caller: the clone with its new namespaces, who is who in them, the descriptors;
2. become the box's first process, a program with memory of its own;
3. join what namespaces there are to be joined;
4. build the machine: names, root file system, loopback;
5. give up rights, start the command's process, and exec.
"""

import functools
import os
import signal
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import hints
from nsbox._native import Encoded
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.constants import CloneFlag
from nsbox.errors import StepError, UnsupportedError
from nsbox.link import unlinked
from nsbox.namespace import Choice, Namespace, NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.namespace.joining import Lineup, line_up
from nsbox.namespace.types import clone_flags
from nsbox.options import Options
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Slot, Step, encode
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs.overlay import work_mark
from nsbox.rootfs.site import Site
from nsbox.security import capabilities

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec


Within = tuple[tuple[Hierarchy, str], ...] | None
"""The folders of a live group, by hierarchy."""


@attrs.frozen(eq=False)
class Lowered:
    """The steps of a spec, encoded once and used for every box that is started from it."""

    steps: tuple[Step, ...]
    encoded: Encoded
    sources: tuple[tuple[int, str], ...]
    groups: cgroups.Groups
    works: tuple[str, ...]
    end_signal: int
    joins: bool

    def plan_of(self, number: int) -> Encoded:
        """Return the plan for the box of this number."""
        made = [folder for _, folder in self.groups.directories] if self.groups.made else []
        data = self.encoded.data
        # Whole names only: a file of the caller's may have the placeholder in it.
        for name in map(os.path.basename, (*made, *self.works)):
            data = data.replace(_bytes(name), _bytes(_numbered(name, number)))
        return self.encoded._replace(data=data)

    def works_of(self, number: int) -> tuple[str, ...]:
        """Return the work folders of the overlays of the box of this number."""
        return tuple(_numbered(folder, number) for folder in self.works)

    def directories(self, number: int) -> dict[Hierarchy, str]:
        """Return the folders of the groups that the box of this number is in."""
        if not self.groups.made:
            return dict(self.groups.directories)
        return {
            hierarchy: _numbered(folder, number) for hierarchy, folder in self.groups.directories
        }

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


def _numbered(folder: str, number: int) -> str:
    return folder.removesuffix(cgroups.NUMBER) + f"{number:0{len(cgroups.NUMBER)}}"


def _bytes(folder: str) -> bytes:
    return folder.encode(errors="surrogateescape")


def plan(spec: "BoxSpec", args: Sequence[StrOrBytesPath]) -> Plan:
    """Return the printable plan of a spec for the calling process."""
    if not args:
        return Plan(lower(spec, None).steps)
    *steps, _ = lower(spec).steps
    return Plan((*steps, _execve(args)))


def lower(spec: "BoxSpec", options: Options | None = Options(), within: Within = None) -> Lowered:
    """Lower a spec for the calling process; the result is kept for the next box of the spec.

    Without `options` the first process stays, and has no command. `within` are the folders of a
    live group for the box to be in.
    """
    spec = _without_handles(unlinked(spec))
    state = rootfs.state(spec.rootfs)
    if state is None:
        return _lower(spec, Caller.current(), options, within, None)
    return _kept(spec, Caller.current(), options, within, state)


def lower_joining(spec: "BoxSpec", options: Options, within: Within) -> Lowered:
    """Lower the start of a command in a box of this spec that is in these groups."""
    # By its first process it is found, whatever became of its link.
    spec = _without_handles(attrs.evolve(spec, link=None))
    return _kept_joining(spec, Caller.current(), options, within)


def _without_handles(spec: "BoxSpec") -> "BoxSpec":
    """Put names for the namespaces to be joined: what is kept here must keep no handle alive."""
    named = {
        kind: f"nsfs/{chosen}"
        for kind, chosen in spec.namespaces.items()
        if isinstance(chosen, Namespace)
    }
    return attrs.evolve(spec, namespaces=spec.namespaces | named) if named else spec


def _lower(
    spec: "BoxSpec",
    caller: Caller,
    command: Options | None,
    within: Within,
    state: Hashable,  # noqa: ARG001 - the lowering is kept as long as it is the same
) -> Lowered:
    groups = _groups(spec, within, stays=command is None)
    site = Site.of(
        caller,
        changes_user=line_up(spec.choices, spec.id_map, caller).changes_user,
        work=work_mark() + cgroups.NUMBER,
        kept=spec.security.capabilities,
    )
    steps = tuple(_steps(spec, caller, groups, command, site))
    wanted = {os.path.abspath(source) for source in spec.rootfs.sources}
    sources = tuple(
        (index, str(step.arguments[2]))
        for index, step in enumerate(steps)
        if step.operation is Operation.OPEN_TREE and step.arguments[2] in wanted
    )
    joins = any(step.operation in (Operation.SETNS, Operation.MAP_IDS) for step in steps)
    works = rootfs.work_folders(spec.rootfs, site)
    return Lowered(steps, encode(steps), sources, groups, works, _end_signal(spec), joins)


@functools.lru_cache(maxsize=64)
def _kept_joining(spec: "BoxSpec", caller: Caller, command: Options, within: Within) -> Lowered:
    groups = cgroups.join(dict(within or ()))
    steps = tuple(_join_box(spec, caller, groups, command))
    # Its first process is not process 1: killed, it would leave the command to the box.
    return Lowered(steps, encode(steps), (), groups, (), signal.SIGRTMAX, joins=True)


_kept = functools.lru_cache(maxsize=64)(_lower)


def _groups(spec: "BoxSpec", within: Within, *, stays: bool) -> cgroups.Groups:
    """Lower the groups; a box that stays is to be stopped and watched, where its caller may."""
    live = None if within is None else dict(within)
    try:
        return cgroups.lower(spec.resources, live, controlled=stays)
    except UnsupportedError:
        if spec.resources != Resources() or within is not None:
            raise
        return cgroups.Groups()


def _end_signal(spec: "BoxSpec") -> int:
    """Return what ends the whole box: as process 1, anything that kills; else see supervise.c."""
    own_pids = spec.namespaces.get(NamespaceType.PID) is Choice.NEW
    return signal.SIGKILL if own_pids or not spec.init else signal.SIGRTMAX


def _execve(args: Sequence[StrOrBytesPath]) -> Step:
    shown = tuple(os.fsdecode(argument) for argument in args)
    return Step(Operation.EXECVE, (shown[0] if shown else "", shown))


def _steps(
    spec: "BoxSpec",
    caller: Caller,
    groups: cgroups.Groups,
    command: Options | None,
    site: Site,
) -> Iterator[Step]:
    lineup = line_up(spec.choices, spec.id_map, caller)
    # Whose rights count in the new namespaces: known only once a user namespace has been joined.
    late = bool(lineup.joined) and lineup.changes_user
    yield from groups.make
    yield from _leave_caller(spec, caller, frozenset() if late else lineup.new, groups)
    if spec.init:
        yield Step(Operation.EXECVEAT)
        yield Step(Operation.NOT_DUMPABLE)  # from here on nobody in the box can trace it
        yield from _join(spec, lineup, caller)
        if late or NamespaceType.PID in lineup.joined:
            yield from _move(lineup if late else attrs.evolve(lineup, new=frozenset()))
        if late and NamespaceType.USER in lineup.new:
            yield from map_steps(spec.id_map, caller)
        elif late and caller.privileged:
            yield from _become_privileged(spec)
        yield Step(Operation.SETSID)
    yield from _machine(spec, lineup, site)
    yield from spec.security.first_process_steps()
    if command is not None:
        yield from _command(spec, command)


def _join_box(
    spec: "BoxSpec", caller: Caller, groups: cgroups.Groups, command: Options
) -> Iterator[Step]:
    """Join a box from outside: by the pidfd of its first process, all of its namespaces at once."""
    lineup = line_up(spec.choices, spec.id_map, caller)
    yield from _clone(CloneFlag(0), groups)
    yield Step(Operation.UNSHARE_FILES)
    yield from groups.join_v1
    yield Step(Operation.DUP2)
    yield Step(Operation.EXECVEAT)
    yield Step(Operation.NOT_DUMPABLE)  # before it is where somebody could trace it
    yield from _join_all(lineup, caller)
    if lineup.changes_user:
        yield from _become(spec)
    yield Step(Operation.SETSID)
    yield from spec.security.first_process_steps()
    yield from _command(spec, command)


def _join_all(lineup: Lineup, caller: Caller) -> Iterator[Step]:
    kinds = lineup.new | set(lineup.joined)
    user = {NamespaceType.USER} & kinds
    if user and caller.drops_groups:
        yield Step(Operation.SETGROUPS, (b"",))
    # Rights from outside hold in all of them; rights that come with the user namespace, only there.
    for together in (kinds - user, user) if caller.privileged else (kinds,):
        if together:
            yield Step(Operation.SETNS, (Slot.BOX, "first process", clone_flags(together)))


def _leave_caller(
    spec: "BoxSpec", caller: Caller, new: frozenset[NamespaceType], groups: cgroups.Groups
) -> Iterator[Step]:
    # A cgroup namespace shows as its root the group that its maker is in: so after joining.
    later = {NamespaceType.CGROUP} & new if groups.directories else set()
    yield from _clone(clone_flags(new - later), groups)
    yield Step(Operation.UNSHARE_FILES)
    yield from groups.join_v1
    if later:
        yield Step(Operation.UNSHARE, (clone_flags(later),))
    if NamespaceType.USER in new:
        yield from map_steps(spec.id_map, caller)
        if spec.init and spec.id_map.uid != 0:
            yield Step(Operation.AMBIENT, (capabilities.ALL_CAPABILITIES,))
    yield Step(Operation.DUP2)


def _clone(flags: CloneFlag, groups: cgroups.Groups) -> Iterator[Step]:
    """Begin in the group of cgroup v2, if there is one: to be moved there would take long."""
    if groups.into is None:
        yield Step(Operation.CLONE3, (flags,))
        return
    yield Step(Operation.OPEN_FOLDER, (Slot.CGROUP, groups.into))
    yield Step(Operation.CLONE3_INTO, (flags, Slot.CGROUP))


def _join(spec: "BoxSpec", lineup: Lineup, caller: Caller) -> Iterator[Step]:
    """Join namespaces while the rights to them are there: a user namespace changes them."""
    user = {NamespaceType.USER} & set(lineup.joined)
    others = [kind for kind in lineup.joined if kind not in user]
    if user and caller.drops_groups:
        yield Step(Operation.SETGROUPS, (b"",))
    for kind in (*others, *user) if caller.privileged else (*user, *others):
        yield Step(Operation.SETNS, (kind.slot, lineup.joined[kind], kind.clone_flag))
        if kind in user and not caller.privileged:
            yield from _begin_anew(spec)


def _begin_anew(spec: "BoxSpec") -> Iterator[Step]:
    """Let an ordinary caller, who owns the user namespace that was joined, look at the process.

    Whose rights that takes is settled by an exec, see ptrace(2): so it is done where nobody else is
    yet. A privileged caller has no need of it, and is better off: who made the user namespace, in a
    box of which a namespace is joined maybe, would have these rights too.
    """
    yield from _become_privileged(spec)
    yield Step(Operation.EXECVEAT)
    yield Step(Operation.NOT_DUMPABLE)


def _move(lineup: Lineup) -> Iterator[Step]:
    """Make the late namespaces, and be in the pid namespace: only a new process can be."""
    flags = clone_flags(lineup.new)
    if NamespaceType.PID in {*lineup.new, *lineup.joined}:
        yield Step(Operation.CLONE3, (flags,))
    elif flags:
        yield Step(Operation.UNSHARE, (flags,))


def _become_privileged(spec: "BoxSpec") -> Iterator[Step]:
    """Take these ids, and keep the rights that it takes to build the machine."""
    if spec.id_map.uid != 0:
        yield Step(Operation.KEEPCAPS)
    yield from _become(spec)
    if spec.id_map.uid != 0:
        yield Step(Operation.AMBIENT, (capabilities.ALL_CAPABILITIES,))


def _become(spec: "BoxSpec") -> Iterator[Step]:
    """Take the ids that the command is to have in a user namespace that was joined."""
    for operation, id_ in (
        (Operation.SETRESGID, spec.id_map.gid),
        (Operation.SETRESUID, spec.id_map.uid),
    ):
        if id_ is not None:
            yield Step(operation, (id_, id_, id_))


def _machine(spec: "BoxSpec", lineup: Lineup, site: Site) -> Iterator[Step]:
    yield Step(Operation.UMASK, (0,))
    if spec.hostname is not None:
        yield Step(Operation.SETHOSTNAME, (spec.hostname,))
    if NamespaceType.MNT in lineup.new:
        yield from rootfs.steps(spec.rootfs, site)
    if NamespaceType.NET in lineup.new:
        yield Step(Operation.LOOPBACK_UP)


def _command(spec: "BoxSpec", options: Options) -> Iterator[Step]:
    options = spec.options(options)
    if options.terminal:
        yield Step(Operation.TERMINAL, (Slot.TERMINAL,))
        yield from options.terminal_steps()
    if spec.init:
        yield Step(Operation.VFORK)
    yield Step(Operation.SETSID)
    if options.terminal:
        yield Step(Operation.CONTROLLING_TERMINAL)
    yield Step(Operation.UMASK, (options.umask or 0,))
    yield Step(Operation.CHDIR, (options.cwd or "/",))
    yield from spec.security.command_steps()
    yield from options.identity_steps()
    yield Step(Operation.SIGNALS)
    yield from options.descriptor_steps()
    yield from spec.security.filter_steps()
    yield _execve(())
