"""How a `BoxSpec` becomes steps: what `nsbox.kept` keeps for the next box of the same spec."""

import functools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import beside, sequence
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.constants import Capability
from nsbox.errors import UnsupportedError
from nsbox.link import unlinked
from nsbox.lowered import Lowered
from nsbox.namespace import Choice, Namespace, NamespaceType
from nsbox.namespace.joining import Lineup, line_up
from nsbox.options import Options
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Step
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs import template
from nsbox.rootfs.overlay import work_mark
from nsbox.rootfs.site import Site
from nsbox.template import Template

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec

Within = tuple[tuple[Hierarchy, str], ...] | None
"""The folders of a live group, by hierarchy."""

_SHOWING = (Operation.OPEN_TREE, Operation.BIND, Operation.OPEN_PATH)


def plan(spec: "BoxSpec", args: Sequence[StrOrBytesPath]) -> Plan:
    """Return the printable plan of a spec for the calling process."""
    options = Options() if args else None
    steps = lower(without_handles(spec), Caller.current(), options).steps
    return Plan((*steps[:-1], sequence.execve(args)) if args else steps)


def lower(
    spec: "BoxSpec",
    caller: Caller,
    options: Options | None,
    within: Within = None,
    state: rootfs.State | None = None,
) -> Lowered:
    """Lower the start of a box of this spec, which is `without_handles`.

    Without `options` the first process stays, and has no command. `within` are the folders of a
    live group for the box to be in. `state` is what there is to be checked before the next one.
    """
    groups, refusal = _groups(spec, within, stays=options is None)
    lineup = line_up(spec.choices, spec.id_map, caller)
    _check_tracing(spec, lineup)
    site = Site.of(
        caller,
        changes_user=lineup.changes_user,
        work=work_mark() + cgroups.NUMBER,
        kept=spec.security.capabilities,
    )
    starting = functools.partial(_starting, spec, caller, groups, options)
    steps = tuple(starting(site))
    checks = tuple(_checks(spec, caller, state))
    root = None
    if checks and _copies(spec, caller, lineup) and template.has_template(spec.rootfs, site):
        root = Template(
            functools.partial(template.make, spec.rootfs, site),
            functools.partial(starting, attrs.evolve(site, copied=True)),
        )
    return Lowered(
        steps,
        checks,
        tuple(_sources(spec, steps)),
        groups,
        rootfs.work_folders(spec.rootfs, site),
        _end_signal(spec),
        any(step.operation in (Operation.SETNS, Operation.MAP_IDS) for step in steps),
        refusal,
        root,
    )


def _starting(
    spec: "BoxSpec", caller: Caller, groups: cgroups.Groups, options: Options | None, site: Site
) -> Iterator[Step]:
    """List the steps; a box that is made ahead has time for one after the other."""
    steps = sequence.starting(spec, caller, groups, options, site)
    is_ahead = options is not None and options.parked
    if is_ahead or not beside.can_be(caller):
        return steps
    root_is_ours = site.copied and template.is_bare(spec.rootfs)
    return beside.rearranged(steps, root_is_ours=root_is_ours)


def lower_joining(spec: "BoxSpec", caller: Caller, options: Options, within: Within) -> Lowered:
    """Lower the start of a command in a box of this spec that is in these groups."""
    groups = cgroups.join(dict(within or ()))
    steps = tuple(sequence.joining(spec, caller, groups, options))
    # Its first process is not process 1: killed, it would leave the command to the box.
    return Lowered(steps, (_same(caller),), (), groups, (), signal.SIGRTMAX, joins=True)


def without_handles(spec: "BoxSpec") -> "BoxSpec":
    """Put names for what is to be joined: a plan shows them, and what is kept of it no handle."""
    spec = unlinked(spec)
    if Namespace not in map(type, spec.namespaces.values()):
        return spec
    named = {
        kind: f"nsfs/{chosen}"
        for kind, chosen in spec.namespaces.items()
        if isinstance(chosen, Namespace)
    }
    return attrs.evolve(spec, namespaces=spec.namespaces | named)


def _sources(spec: "BoxSpec", steps: Sequence[Step]) -> Iterator[tuple[int, str]]:
    """Find the steps that show what the caller wants to be shown."""
    wanted = {os.path.abspath(source) for source in spec.rootfs.sources}
    for index, step in enumerate(steps):
        if step.operation in _SHOWING and step.arguments[2] in wanted:
            yield index, str(step.arguments[2])


def _check_tracing(spec: "BoxSpec", lineup: Lineup) -> None:
    """Refuse rights over the first process, which has a descriptor that leads to its starter.

    Who may trace it takes that one by pidfd_getfd(2), and by it any other of the starter's: see
    PTRACE_MODE_ATTACH in ptrace(2), which asks for the capability where the starter's rights are.
    """
    rights = spec.security.capabilities
    if (
        rights & Capability.CAP_SYS_PTRACE
        and not rights & Capability.CAP_SYS_ADMIN  # which has other ways
        and spec.init
        and not lineup.changes_user
        and NamespaceType.PID in lineup.new
    ):
        raise UnsupportedError(
            "security: CAP_SYS_PTRACE takes a user namespace of the box's own, or CAP_SYS_ADMIN "
            "too: without, it leads out, by the descriptors of whoever starts the box"
        )


def _copies(spec: "BoxSpec", caller: Caller, lineup: Lineup) -> bool:
    """Whether a box may begin with a copy of a template: who could change the one could the other.

    What is mounted is common to both; to make it writable takes CAP_SYS_ADMIN.
    """
    rights = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_CHROOT
    return (
        NamespaceType.MNT in lineup.new
        and not lineup.joined
        and caller.capabilities & rights == rights
        and not spec.security.capabilities & Capability.CAP_SYS_ADMIN
    )


def _same(caller: Caller) -> Step:
    return Step(Operation.SAME_CALLER, (caller.uid, caller.gid, caller.capabilities))


def _checks(spec: "BoxSpec", caller: Caller, state: rootfs.State | None) -> Iterator[Step]:
    """Check what the steps were made from, where that can be done without Python."""
    sources = spec.rootfs.sources
    if state is None or state.interpreter is not None or not all(map(os.path.isabs, sources)):
        return
    yield _same(caller)
    for folder, changed in state.folders:
        yield Step(Operation.UNCHANGED, (folder, changed))
    for source, is_folder in state.sources:
        yield Step(Operation.SAME_KIND, (source, int(is_folder)))


def _groups(
    spec: "BoxSpec", within: Within, *, stays: bool
) -> tuple[cgroups.Groups, UnsupportedError | None]:
    """Lower the groups, and say what keeps the caller from making them: a plan needs no right.

    A box that stays is to be stopped and watched, where its caller may.
    """
    live = None if within is None else dict(within)
    try:
        return cgroups.lower(spec.resources, live, controlled=stays), None
    except UnsupportedError as error:
        if within is not None:
            raise
        if spec.resources == Resources():
            return cgroups.Groups(), None
        return cgroups.lower(spec.resources, controlled=stays, checked=False), error


def _end_signal(spec: "BoxSpec") -> int:
    """Return what ends the whole box: as process 1, anything that kills; else see supervise.c."""
    own_pids = spec.namespaces.get(NamespaceType.PID) is Choice.NEW
    return signal.SIGKILL if own_pids or not spec.init else signal.SIGRTMAX
