"""A description lowered, and launched: a container's process, and commands in it."""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping

import attrs

from nsbox import _native, hints, procfs, sequence
from nsbox._native import Ready, Strings
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.account import BoxGroups, ending
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.commands import STOP_COMMAND
from nsbox.constants import Capability
from nsbox.errors import StepError, UnsupportedError
from nsbox.launch import Command, Own
from nsbox.namespace.joining import line_up, opened
from nsbox.oci import waiting
from nsbox.oci.config import Description
from nsbox.oci.hooks import BEFORE_ROOT, Hook
from nsbox.oci.talk import Talk
from nsbox.options import Options
from nsbox.perform import given_descriptors
from nsbox.plan import Slot, Step, encode
from nsbox.rootfs.bind import idmaps
from nsbox.rootfs.overlay import work_mark
from nsbox.rootfs.root import DirectoryRoot
from nsbox.rootfs.site import Site
from nsbox.security import Security
from nsbox.terminal import Channel, Terminal

Folders = Mapping[Hierarchy, str]
Steps = tuple[Step, ...]


def creating(said: Description, folders: Folders) -> Steps:
    """Lower the creation of a container in these groups."""
    spec, caller = attrs.evolve(said.spec, resources=Resources()), Caller.current()
    lineup = line_up(spec.choices, spec.id_map, caller)
    kept = spec.security.capabilities
    site = Site.of(caller, changes_user=lineup.changes_user, work=work_mark(), kept=kept)
    if any(name in said.hooks for name in BEFORE_ROOT):
        if not site.pivots:
            raise UnsupportedError("hooks: / is the kernel's initial file system, and stays")
        # As they find it under other runtimes: the host's tree, with the root where it lies in it.
        assert isinstance(spec.rootfs, DirectoryRoot)
        site = attrs.evolve(site, place=spec.rootfs.path)
    groups = cgroups.join(folders)
    steps = sequence.starting(spec, caller, groups, said.options, site)
    return tuple(waiting.filtered(waiting.created(steps), said.filter, spec.security))


def create(
    said: Description, steps: Steps, given: Mapping[int, int], standard: Iterable[int]
) -> _native.Launched:
    """Launch a container's process, up to where it waits. Raises `StepError`."""
    spec = said.spec
    with (
        opened(spec.choices, spec.id_map, Caller.current()) as joined,
        idmaps(spec.rootfs.mounts) as maps,
    ):
        launched = _native.launch(
            encode(steps),
            *_strings(said),
            given_descriptors({**joined, **maps, **given}, tuple(standard)),
        )
    if launched.pidfd < 0:
        outcome = launched.outcome
        launched.abandon()
        raise failure(steps, outcome.step, outcome.error, said)
    return launched


def joining(
    said: Description,
    first_process: int,
    folders: Folders,
    *,
    detached: bool = False,
    program: str | None = None,
) -> tuple[Steps, Command]:
    """Make a command in a container, by a pidfd of its process; for `Process`, if not detached.

    `program` is what is run if its argv[0] is something else.
    """
    spec = attrs.evolve(said.spec, resources=Resources())
    groups = cgroups.join(folders)
    listed: Iterable[Step] = sequence.joining(spec, Caller.current(), groups, said.options)
    if detached:
        listed = waiting.detached(listed)
    steps = tuple(waiting.filtered(listed, said.filter, spec.security))
    if program is not None:
        steps = (*steps[:-1], Step(Operation.EXECVE_PATH, (program, said.args)))
    given: dict[int, int] = {Slot.BOX: first_process}

    strings = Strings(*_strings(said))
    plan = encode(steps)
    joined = BoxGroups.joined(dict(folders), of_box=True) if folders else None
    at_end = ending(dict(folders), made=False)
    ready = Ready(plan, strings, at_end, end_signal=signal.SIGRTMAX, checked=False)
    command = Command(
        strings=strings,
        ready=ready,
        own=lambda _: Own(joined),
        failure=lambda index, errno: failure(steps, index, errno, said),
        end_signal=signal.SIGRTMAX,
        stop_signal=STOP_COMMAND,
        joined=given,
        passed=said.options.passed(),
        terminal=bool(said.options.terminal),
    )
    return steps, command


def detached(
    said: Description,
    first_process: int,
    folders: Folders,
    *,
    standard: Iterable[int],
    console: int | None,
    told: Callable[[int, int], None],
) -> int:
    """Start a command that is left alone; return its pid once its program runs.

    `told` is called with the listener of its filter, if there is one, and its pid.
    """
    steps, command = joining(said, first_process, folders, detached=True)
    ours, theirs = socket.socketpair()  # closed by the exec, whoever has the other end
    with ours, theirs, Channel(wanted=bool(said.options.terminal)) as channel:
        given = {Slot.BOX: first_process, Slot.WORD: theirs.fileno(), **channel.given}
        launched = command.prepared(given, tuple(standard))
        launched.begin()
        try:
            theirs.close()
            terminal = channel.receive()
            talk = Talk(ours)
            talk.hear()
            if talk.listener >= 0:
                told(talk.listener, launched.pid)
                talk.hear()
            outcome = launched.outcome
            if outcome.error:
                raise failure(steps, outcome.step, outcome.error, said)
            if terminal is not None:
                hand_over(terminal, console)
        except BaseException:
            launched.abandon()
            raise
        pid = launched.pid
        launched.let_go()
        return pid


def callers_umask() -> int:
    """Return the umask of the calling thread, which umask(2) tells of only by changing it."""
    with open("/proc/thread-self/status", "rb") as file:
        return int(procfs.parse_status(procfs.decode(file.read()))["Umask"], 8)


def hand_over(terminal: Terminal, console: int | None) -> None:
    """Send a terminal to a connected socket."""
    with terminal:
        if console is None:
            raise ValueError("console: a socket that takes the terminal, not None")
        with socket.socket(fileno=os.dup(console)) as to:
            socket.send_fds(to, [b"/dev/pts/ptmx"], [terminal.fileno()])


def free(said: Description, hook: Hook) -> Description:
    """Return what a hook in a container's namespaces is: without what confines the command."""
    security = attrs.evolve(Security.privileged(), capabilities=Capability(_native.capabilities()))
    spec = attrs.evolve(
        said.spec,
        security=security,
        cwd="/",
        user=None,
        group=None,
        umask=0o022,
        env=dict(hook.env),
    )
    return attrs.evolve(said, spec=spec, args=hook.argv, options=Options(), filter=None)


def _strings(said: Description) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    env = [f"{name}={value}" for name, value in said.spec.env.items()]
    return tuple(map(os.fsencode, said.args)), tuple(map(os.fsencode, env))


def failure(steps: Steps, index: int, errno: int, said: Description) -> StepError:
    """Make the error for the step that failed."""
    index = min(max(index, 0), len(steps) - 1)
    step = steps[index]
    if step == sequence.execve(()):
        step = sequence.execve(said.args)
    return _error(step, index, errno, said)


def failed_exec(index: int, errno: int, said: Description) -> StepError:
    """Make the error for the exec, where the other steps are not known."""
    return _error(sequence.execve(said.args), index, errno, said)


def _error(step: Step, index: int, errno: int, said: Description) -> StepError:
    box = said.spec.hostname
    return StepError.of(step, errno, index, box=box, hint=hints.hint(step, errno))
