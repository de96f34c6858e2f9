"""How a `BoxSpec` becomes steps, which are kept for the next box of the same spec."""

import functools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import sequence
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.constants import Capability
from nsbox.errors import UnsupportedError
from nsbox.link import unlinked
from nsbox.lowered import HOST_NAME, Lowered
from nsbox.namespace import Choice, Namespace, NamespaceType
from nsbox.namespace.joining import Lineup, line_up
from nsbox.options import Options
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Step
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs.overlay import work_mark
from nsbox.rootfs.site import Site
from nsbox.rootfs.template import has_template
from nsbox.rootfs.template import make as make_template
from nsbox.template import Held, Template

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec


_KEPT = 64
"""How many specs the process remembers the steps of."""

Within = tuple[tuple[Hierarchy, str], ...] | None
"""The folders of a live group, by hierarchy."""


_SHOWING = (Operation.OPEN_TREE, Operation.BIND, Operation.OPEN_PATH)


def plan(spec: "BoxSpec", args: Sequence[StrOrBytesPath]) -> Plan:
    """Return the printable plan of a spec for the calling process."""
    if not args:
        return Plan(lower(spec, None).steps)
    *steps, _ = lower(spec).steps
    return Plan((*steps, sequence.execve(args)))


def lower(spec: "BoxSpec", options: Options | None = Options(), within: Within = None) -> Lowered:
    """Lower a spec for the calling process; the result is kept for the next box of the spec.

    Without `options` the first process stays, and has no command. `within` are the folders of a
    live group for the box to be in.
    """
    lowered = _lower_common(_common(spec), options, within)
    return lowered if spec.hostname is None else _named(lowered, spec.hostname)


def _lower_common(spec: "BoxSpec", options: Options | None, within: Within) -> Lowered:
    given, spec = spec, _without_handles(unlinked(spec))
    state = rootfs.state(spec.rootfs)
    if state is None:
        return _lower(spec, Caller.current(), options, within, None)
    lowered = _kept(spec, Caller.current(), options, within, state)
    if lowered.refusal is not None:  # the caller may have got the right to it since
        return _lower(spec, Caller.current(), options, within, state)
    if spec is given and lowered.checks:
        _remember((spec, options, within, os.getpid(), False), lowered)
    return lowered


def recall(
    spec: "BoxSpec", options: Options | None, within: Within, *, joining: bool = False
) -> Lowered | None:
    """Return what the last box of this spec was started by, and the next one can be: if it holds.

    With `joining`, what the last command in such a box was started by. Nothing is looked at here,
    and so the GIL not given up: with busy threads that costs milliseconds each time.
    """
    if spec.link is not None:
        return None
    lowered = _recent.get((_common(spec), options, within, os.getpid(), joining))
    if lowered is None or joining or spec.hostname is None:
        return lowered
    return _named(lowered, spec.hostname)


_Key = tuple["BoxSpec", Options | None, Within, int, bool]
_recent: dict[_Key, Lowered] = {}


def _remember(key: _Key, lowered: Lowered) -> None:
    """Keep it as the latest. Without a lock: a fork might find it locked, a signal handler too."""
    _recent.pop(key, None)
    _recent[key] = lowered
    for oldest in list(_recent)[:-_KEPT]:
        _recent.pop(oldest, None)


def forget() -> None:
    """Let go of all that is kept for the next boxes, descriptors of templates among it."""
    _recent.clear()
    for kept in (_kept, _named, _kept_common):
        kept.cache_clear()


def lower_joining(spec: "BoxSpec", options: Options, within: Within) -> Lowered:
    """Lower the start of a command in a box of this spec that is in these groups."""
    spec = _common(spec if spec.link is None else attrs.evolve(spec, link=None))
    named = _without_handles(spec)
    caller = Caller.current()
    groups = cgroups.join(dict(within or ()))
    steps = tuple(sequence.joining(named, caller, groups, options))
    checks = (_same(caller),)
    # Its first process is not process 1: killed, it would leave the command to the box.
    lowered = Lowered(steps, checks, (), groups, (), signal.SIGRTMAX, joins=True)
    if named is spec:
        _remember((spec, options, within, os.getpid(), True), lowered)
    return lowered


def _common(spec: "BoxSpec") -> "BoxSpec":
    """Return what boxes that differ by their host names and ports alone have in common."""
    if spec.hostname is None and not spec.ports:
        return spec
    if spec.link is not None or Namespace in map(type, spec.namespaces.values()):
        return _without_name(spec)  # what is kept here must keep no handle alive
    return _kept_common(spec)


def _without_name(spec: "BoxSpec") -> "BoxSpec":
    return attrs.evolve(spec, hostname=spec.hostname and HOST_NAME, ports=())


_kept_common = functools.lru_cache(maxsize=_KEPT)(_without_name)


@functools.lru_cache(maxsize=_KEPT)
def _named(lowered: Lowered, hostname: str) -> Lowered:
    return lowered.named(hostname)


def _without_handles(spec: "BoxSpec") -> "BoxSpec":
    """Put names for the namespaces to be joined: what is kept here must keep no handle alive."""
    if Namespace not in map(type, spec.namespaces.values()):
        return spec
    named = {
        kind: f"nsfs/{chosen}"
        for kind, chosen in spec.namespaces.items()
        if isinstance(chosen, Namespace)
    }
    return attrs.evolve(spec, namespaces=spec.namespaces | named)


def _lower(
    spec: "BoxSpec",
    caller: Caller,
    command: Options | None,
    within: Within,
    state: rootfs.State | None,
) -> Lowered:
    groups, refusal = _groups(spec, within, stays=command is None)
    lineup = line_up(spec.choices, spec.id_map, caller)
    site = Site.of(
        caller,
        changes_user=lineup.changes_user,
        work=work_mark() + cgroups.NUMBER,
        kept=spec.security.capabilities,
    )
    steps = tuple(sequence.starting(spec, caller, groups, command, site))
    wanted = {os.path.abspath(source) for source in spec.rootfs.sources}
    sources = tuple(
        (index, str(step.arguments[2]))
        for index, step in enumerate(steps)
        if step.operation in _SHOWING and step.arguments[2] in wanted
    )
    joins = any(step.operation in (Operation.SETNS, Operation.MAP_IDS) for step in steps)
    works = rootfs.work_folders(spec.rootfs, site)
    checks = tuple(_checks(spec, caller, state))
    lowered = Lowered(steps, checks, sources, groups, works, _end_signal(spec), joins, refusal)
    if not (checks and _copies(spec, caller, lineup) and has_template(spec.rootfs, site)):
        return lowered

    def copying(held: Held) -> Lowered:
        in_copy = attrs.evolve(site, copied=True)
        steps = tuple(sequence.starting(spec, caller, groups, command, in_copy))
        return lowered.by_copy(steps, held)

    template = Template(lambda: make_template(spec.rootfs, site), copying)
    return attrs.evolve(lowered, template=template)


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


_kept = functools.lru_cache(maxsize=_KEPT)(_lower)


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
