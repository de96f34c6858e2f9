"""A `BoxSpec` lowered: its steps, encoded, and kept for the next box of the same spec."""

import functools
import os
import signal
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox import hints, sequence
from nsbox._native import Encoded
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import StepError, UnsupportedError
from nsbox.link import unlinked
from nsbox.namespace import Choice, Namespace, NamespaceType
from nsbox.namespace.joining import line_up
from nsbox.options import Options
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan, Step, encode
from nsbox.rootfs import lower as rootfs
from nsbox.rootfs.overlay import work_mark
from nsbox.rootfs.site import Site

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
    refusal: UnsupportedError | None = None

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

    def check_rights(self) -> None:
        """Raise `UnsupportedError` where the caller may not make the groups of the plan."""
        if self.refusal is not None:
            raise self.refusal

    def failing(self, index: int, errno: int) -> "Lowered":
        """Return the same with one step that is not done, as if the kernel had said `errno`.

        For tests: what is told and left then must not depend on the step.
        """
        steps = list(self.steps)
        steps[index] = Step(Operation.FAIL, (errno,))
        return attrs.evolve(self, encoded=encode(steps))

    def failure(
        self, index: int, errno: int, args: Sequence[StrOrBytesPath], box: str | None
    ) -> StepError:
        """Make the error for the step that failed."""
        step = self.steps[min(max(index, 0), len(self.steps) - 1)]
        if step.operation is Operation.EXECVE:
            step = sequence.execve(args)
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
    return Plan((*steps, sequence.execve(args)))


def lower(spec: "BoxSpec", options: Options | None = Options(), within: Within = None) -> Lowered:
    """Lower a spec for the calling process; the result is kept for the next box of the spec.

    Without `options` the first process stays, and has no command. `within` are the folders of a
    live group for the box to be in.
    """
    spec = _without_handles(unlinked(spec))
    state = rootfs.state(spec.rootfs)
    if state is None:
        return _lower(spec, Caller.current(), options, within, None)
    lowered = _kept(spec, Caller.current(), options, within, state)
    if lowered.refusal is not None:  # the caller may have got the right to it since
        return _lower(spec, Caller.current(), options, within, state)
    return lowered


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
    groups, refusal = _groups(spec, within, stays=command is None)
    site = Site.of(
        caller,
        changes_user=line_up(spec.choices, spec.id_map, caller).changes_user,
        work=work_mark() + cgroups.NUMBER,
        kept=spec.security.capabilities,
    )
    steps = tuple(sequence.starting(spec, caller, groups, command, site))
    wanted = {os.path.abspath(source) for source in spec.rootfs.sources}
    sources = tuple(
        (index, str(step.arguments[2]))
        for index, step in enumerate(steps)
        if step.operation is Operation.OPEN_TREE and step.arguments[2] in wanted
    )
    joins = any(step.operation in (Operation.SETNS, Operation.MAP_IDS) for step in steps)
    works = rootfs.work_folders(spec.rootfs, site)
    return Lowered(steps, encode(steps), sources, groups, works, _end_signal(spec), joins, refusal)


@functools.lru_cache(maxsize=64)
def _kept_joining(spec: "BoxSpec", caller: Caller, command: Options, within: Within) -> Lowered:
    groups = cgroups.join(dict(within or ()))
    steps = tuple(sequence.joining(spec, caller, groups, command))
    # Its first process is not process 1: killed, it would leave the command to the box.
    return Lowered(steps, encode(steps), (), groups, (), signal.SIGRTMAX, joins=True)


_kept = functools.lru_cache(maxsize=64)(_lower)


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
