"""The whole list of steps of a box, in the order that the kernel asks for.

1. leave the caller: the clone with its new namespaces, who is who in them, the descriptors;
2. become the box's first process, a program with memory of its own;
3. join what namespaces there are to be joined;
4. build the machine: names, root file system, loopback;
5. give up rights, start the command's process, and exec.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import kernel_parameters, scheduling, zygote
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import lower as cgroups
from nsbox.constants import CloneFlag, CloseRangeFlag
from nsbox.namespace import NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.namespace.joining import Lineup, line_up
from nsbox.namespace.types import clone_flags
from nsbox.options import NO_OPTIONS, Options
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Slot, Step
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs import template
from nsbox.rootfs.site import Site
from nsbox.security import capabilities

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec

_NO_GROUPS = Step(Operation.SETGROUPS, (b"",))
"""What the starter may do by its supplementary groups, the box may not."""

_FIRST = "first process"
"""Of the box that is joined: what its pidfd is shown as."""


BEGETTING = Step(Operation.SETNS, (Slot.NS_PID, "the call's box", NamespaceType.PID.clone_flag))
"""What is done before such a fork as in `forked`: its children begin in that pid namespace."""


def execve(args: Sequence[StrOrBytesPath]) -> Step:
    """Return the last step, which shows the command."""
    shown = tuple(os.fsdecode(argument) for argument in args)
    return Step(Operation.EXECVE, (shown[0] if shown else "", shown))


def starting(
    spec: "BoxSpec",
    caller: Caller,
    groups: cgroups.Groups,
    command: Options | None,
    site: Site,
) -> Iterator[Step]:
    """Start a box, and a command in it if there is one."""
    lineup = line_up(spec.choices, spec.id_map, caller)
    # Whose rights count in the new namespaces: known only once a user namespace has been joined.
    late = bool(lineup.joined) and lineup.changes_user
    if spec.time_offsets.parts:  # these are set before anybody is in it
        lineup = attrs.evolve(lineup, new=lineup.new - {NamespaceType.TIME})
    yield from groups.make
    copied = {NamespaceType.MNT} if site.copied else set()
    yield from _leave_caller(spec, caller, frozenset() if late else lineup.new - copied, groups)
    if spec.init:
        yield Step(Operation.EXECVEAT)
        yield from scheduling.steps(spec)
        if not late:
            yield from _clocks(spec)
        yield Step(Operation.NOT_DUMPABLE)  # from here on nobody in the box can trace it
        if caller.drops_groups and (late or NamespaceType.USER not in lineup.new):
            yield _NO_GROUPS
        yield from _join(spec, lineup, caller)
        if late or NamespaceType.PID in lineup.joined:
            yield from _move(lineup if late else attrs.evolve(lineup, new=frozenset()))
        if late and NamespaceType.USER in lineup.new:
            yield from map_steps(spec.id_map, caller)
        if late and caller.privileged:
            yield from _clocks(spec)
        if late and caller.privileged and NamespaceType.USER in lineup.joined:
            yield from _become_privileged(spec)
        yield Step(Operation.SETSID)
    else:
        yield from scheduling.steps(spec)
    yield from _machine(spec, lineup, site)
    changes_ids = command is not None and spec.options(command).changes_ids
    yield from spec.security.first_process_steps(changes_ids=changes_ids)
    if command is not None:
        yield from _command(spec, caller, command)


def joining(
    spec: "BoxSpec", caller: Caller, groups: cgroups.Groups, command: Options
) -> Iterator[Step]:
    """Join a box from outside: by the pidfd of its first process, all of its namespaces at once."""
    lineup = line_up(spec.choices, spec.id_map, caller)
    yield Step(Operation.ALIVE, (Slot.BOX, _FIRST))
    yield from cgroups.thawed(groups)
    yield from _clone(CloneFlag(0), groups)
    yield Step(Operation.UNSHARE_FILES)
    yield from groups.join_v1
    yield Step(Operation.DUP2)
    yield Step(Operation.EXECVEAT)
    yield from scheduling.steps(spec)
    yield Step(Operation.NOT_DUMPABLE)  # before it is where somebody could trace it
    yield from _join_all(lineup, caller)
    if lineup.changes_user:
        yield from _become(spec)
    yield Step(Operation.SETSID)
    changes_ids = spec.options(command).changes_ids
    yield from spec.security.first_process_steps(changes_ids=changes_ids)
    yield from _command(spec, caller, command)


def forked(spec: "BoxSpec", caller: Caller) -> Iterator[Step]:
    """Have a fork of a program that keeps its rights become a process of a box of this spec.

    Its namespaces are given one by one, but for two: in the user namespace it is already, and in
    the pid namespace, since its parent was about to be. See `nsbox.executor.nursery`.
    """
    lineup = line_up(spec.choices, spec.id_map, caller)
    for kind in entered(lineup):
        yield Step(Operation.SETNS, (kind.slot, "the call's box", kind.clone_flag))
    yield Step(Operation.SETSID)
    options = spec.options(NO_OPTIONS)
    yield from spec.security.first_process_steps(changes_ids=options.changes_ids)
    yield from _confined(spec, caller, options)
    if _keeps(spec, options):  # no exec ends that
        yield Step(Operation.KEEPCAPS, (0,))
    # All but the standard ones and the one by which it answers; the filter may forbid even that.
    yield Step(Operation.CLOSE_RANGE, (zygote.ANSWERS + 1, CloseRangeFlag(0)))
    yield from spec.security.filter_steps()


def entered(lineup: Lineup) -> list[NamespaceType]:
    """List the kinds of namespace that such a fork enters by itself."""
    own = (lineup.new | set(lineup.joined)) - {NamespaceType.USER, NamespaceType.PID}
    return [kind for kind in NamespaceType if kind in own]


def _join_all(lineup: Lineup, caller: Caller) -> Iterator[Step]:
    kinds = lineup.new | set(lineup.joined)
    user = {NamespaceType.USER} & kinds
    if caller.drops_groups:
        yield _NO_GROUPS
    # Rights from outside hold in all of them; rights that come with the user namespace, only there.
    for together in (kinds - user, user) if caller.privileged else (kinds,):
        if together:
            yield Step(Operation.SETNS, (Slot.BOX, _FIRST, clone_flags(together)))


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
    yield from _clocks(spec)
    yield Step(Operation.NOT_DUMPABLE)


def _clocks(spec: "BoxSpec") -> Iterator[Step]:
    """Set its clocks, in a time namespace of the box's user namespace.

    That is done while the process owns its own files in /proc: it does not once it is not dumpable,
    unless it is the host's root still. See proc(5), PR_SET_DUMPABLE(2const).
    """
    if spec.time_offsets.parts:
        yield from spec.time_offsets.entering_steps()


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
        yield Step(Operation.KEEPCAPS, (1,))
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
    if spec.domainname is not None:
        yield Step(Operation.SETDOMAINNAME, (spec.domainname,))
    yield from kernel_parameters.steps(spec.sysctl)
    if NamespaceType.MNT in lineup.new:
        root = template.copy if site.copied else rootfs.steps
        yield from root(spec.rootfs, site)
    if NamespaceType.NET in lineup.new:
        yield Step(Operation.LOOPBACK_UP)


def _command(spec: "BoxSpec", caller: Caller, options: Options) -> Iterator[Step]:
    options = spec.options(options)
    if options.terminal:
        yield Step(Operation.TERMINAL, (Slot.TERMINAL,))
        yield from options.terminal_steps()
    if spec.init:
        yield Step(Operation.CLONE_VM)
    if options.terminal:
        yield Step(Operation.SETSID)
        yield Step(Operation.CONTROLLING_TERMINAL)
    elif spec.init:  # in the first process's session, out of reach of the caller's terminal
        yield Step(Operation.SETPGID)
    else:
        yield Step(Operation.SETSID)
    yield from options.descriptor_steps()  # a limit of their number would be in the way
    yield from _confined(spec, caller, options)
    yield Step(Operation.SIGNALS)
    last = list(spec.security.filter_steps())
    if options.parked:
        yield Step(Operation.SEND_PIDFD, (Slot.PARKED,))
        park = Step(Operation.PARK, (Slot.PARKED,))
        last.insert(len(last) if spec.security.lets_wait else 0, park)
    yield from last
    yield execve(())


def _confined(spec: "BoxSpec", caller: Caller, options: Options) -> Iterator[Step]:
    """Make a process what the command is, but for the filter: that comes last."""
    yield Step(Operation.UMASK, (options.umask or 0,))
    yield Step(Operation.CHDIR, (options.cwd or "/",))
    yield from spec.security.command_steps(by_root=caller.uid == 0)
    other_user = bool(options.user)
    if _keeps(spec, options):
        yield Step(Operation.KEEPCAPS, (1,))
    yield from options.identity_steps()
    if options.changes_ids:
        yield from spec.security.identity_steps(other_user=other_user)


def _keeps(spec: "BoxSpec", options: Options) -> bool:
    """Whether a command keeps rights while it becomes another user."""
    return bool(options.user) and bool(spec.security.ambient)
