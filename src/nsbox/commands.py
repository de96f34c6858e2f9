"""What is launched for a spec: a command in a box of its own, a box without one, one in a box."""

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nsbox._native import Launched, Ready, Strings
from nsbox.caller import Caller
from nsbox.cgroup.account import BoxGroups, ending
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import StepError
from nsbox.fields import frozen_map, is_kernel_text
from nsbox.kept import KEPT
from nsbox.known import Key
from nsbox.launch import Command, Own
from nsbox.link import Port, Publication, check_tracing, connected, unlinked
from nsbox.lower import Within
from nsbox.lowered import Lowered, OwnByNumber
from nsbox.namespace.joining import opened
from nsbox.options import NO_OPTIONS, PARKED, Options
from nsbox.origin import Origin
from nsbox.perform import perform
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Slot
from nsbox.rootfs.bind import idmaps

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.spec import BoxSpec

STOP_COMMAND = 32
"""The signal by which a first process stops its command; the same in supervise.c."""

Args = StrOrBytesPath | Sequence[StrOrBytesPath]


@attrs.frozen
class Invocation:
    """What is run, and how: `args` as `subprocess` takes them, `env` in place of the spec's."""

    args: Args
    env: Mapping[str, str] | None = None
    options: Options = NO_OPTIONS

    def as_noted(self, key: Key | None) -> "Invocation":
        """Return what no caller changes any longer, of one that has a key."""
        if key is None:
            return self
        env = None if key.env is None else dict(key.env)
        return Invocation(key.args or (), env, self.options)


def starting(spec: "BoxSpec", invocation: Invocation, cgroup: "Cgroup | None" = None) -> Command:
    """Make a command with a box of its own, and refuse at once what can be known to fail.

    The box is in the group `cgroup`, if one is given, or below it in one of its own.
    """
    return _boxed(spec, invocation, _within(cgroup))


def known(spec: "BoxSpec", args: Args | None) -> Command | None:
    """Return a command with a box of its own that was made before, if it is found at one look."""
    kept = KEPT.glances.get(id(spec))
    found = None if kept is None else kept[1].known.glance(spec, args)
    return found[1] if found and found[0].template is None else None


def staying(spec: "BoxSpec", cgroup: "Cgroup | None") -> Command:
    """Make a box's first process, which stays without a command; `cgroup` is as for `starting`."""
    if not spec.init:
        raise ValueError("init: a box that stays is kept by its first process, so it must be True")
    return _boxed(spec, None, _within(cgroup))


def staying_beside(spec: "BoxSpec", groups: BoxGroups | None) -> Command:
    """Make the same for a box that is in the groups of another, and has none of its own."""
    return _boxed(spec, None, _beside(groups))


def _boxed(spec: "BoxSpec", invocation: Invocation | None, within: Within) -> Command:
    options = None if invocation is None else invocation.options
    kept = KEPT.recall(spec, options, within)
    if kept is None:
        return _looked_up(spec, invocation, within)
    lowered = kept.quickest
    key = _key(spec, invocation)
    if known := kept.known.recall(key, lowered):
        return known
    if invocation is not None:
        invocation = invocation.as_noted(key)

    def again() -> Command:
        kept = KEPT.recall(spec, options, within)
        if kept is not None and kept.outdated():
            anew = functools.partial(_looked_up, spec, invocation, within)
            return _command(spec, kept.quickest, invocation, anew=anew)
        return _looked_up(spec, invocation, within)

    command = _command(spec, lowered, invocation, anew=again)
    kept.known.note(key, lowered, command)
    return command


def _looked_up(spec: "BoxSpec", invocation: Invocation | None, within: Within) -> Command:
    options = None if invocation is None else invocation.options
    lowered = KEPT.look_up(spec, options, within)
    lowered.check_sources(spec.hostname)
    lowered.check_rights()
    return _command(spec, lowered, invocation)


def _key(spec: "BoxSpec", invocation: Invocation | None) -> Key | None:
    return Key(spec) if invocation is None else Key.of(spec, invocation.args, invocation.env)


def _owning(lowered: Lowered) -> Callable[[Launched], Own]:
    """Return what tells a box's own share of a plan: mostly it is the same for all."""
    if lowered.is_numbered:
        return functools.partial(OwnByNumber, lowered)
    same = Own(lowered.groups_of(0), lowered.works_of(0))
    return lambda _: same


@attrs.frozen(eq=False)
class Parking:
    """The start of a box that is made ahead, and what that was lowered to.

    `first` is what it would be lowered to without a template.
    """

    command: Command
    lowered: Lowered
    origin: Origin
    first: Lowered

    @property
    def is_current(self) -> bool:
        """Whether a box that stays, and has waited until now, is as one that would be made now."""
        if self.origin.has_changed:
            return False
        return self._checks_hold() or (self.first.outdated() and self._checks_hold())

    def _checks_hold(self) -> bool:
        checks = self.lowered.checks
        try:
            if checks:
                perform(checks).abandon()
        except StepError:
            return False
        return True

    def given(self, spec: "BoxSpec", invocation: Invocation, cgroup: "Cgroup | None") -> Command:
        """Return the command that such a box is given; `anew` it has a box made on demand."""
        key = _key(spec, invocation)
        if known := self.first.known.recall(key, self.lowered):
            return known
        invocation = invocation.as_noted(key)
        listed, box = arguments(invocation.args), self.command
        lowered = self.lowered  # of which a box itself is no part
        command = Command(
            Strings(_argv(listed), _environment_of(spec, invocation)),
            box.ready,
            box.own,
            lambda index, errno: lowered.failure(index, errno, listed, spec.hostname),
            box.end_signal,
            box.stop_signal,
            anew=functools.partial(starting, spec, invocation, cgroup),
        )
        self.first.known.note(key, lowered, command)
        return command


def parking(spec: "BoxSpec", cgroup: "Cgroup | None", *, stays: bool = False) -> Parking:
    """Make the start of a box that waits for its command, or `stays`. See `nsbox.pool`."""
    return _parking(spec, _within(cgroup), stays=stays)


def parking_beside(spec: "BoxSpec", groups: BoxGroups | None) -> Parking:
    """Make the start of a box that `stays`, and waits until it is wanted, as `staying_beside`."""
    return _parking(spec, _beside(groups), stays=True)


def _parking(spec: "BoxSpec", within: Within, *, stays: bool) -> Parking:
    origin = Origin(spec, None if stays else PARKED, within)
    origin.lowered.check_sources(spec.hostname)
    origin.lowered.check_rights()
    lowered = origin.lowered.quickest
    command = _command(spec, lowered, None if stays else _LATER)
    return Parking(command, lowered, origin, origin.lowered)


_LATER = Invocation(("",), options=PARKED)


def joining(
    spec: "BoxSpec", invocation: Invocation, first_process: int, groups: BoxGroups | None
) -> Command:
    """Make a command in a box that is there, in its groups; `first_process` is a pidfd."""
    within = _beside(groups)
    kept = KEPT.recall(spec, invocation.options, within, joining=True)
    own_key = _key(spec, invocation)
    key = own_key and (own_key, first_process)
    if kept is not None and (known := kept.known.recall(key, kept)):
        return known
    invocation = invocation.as_noted(own_key)

    def command(lowered: Lowered, anew: Callable[[], Command] | None = None) -> Command:
        given: dict[int, int] = {Slot.BOX: first_process}
        return _command(spec, lowered, invocation, anew=anew, joined=given, groups=groups)

    def anew() -> Command:
        return command(KEPT.look_up_joining(spec, invocation.options, within))

    if kept is None:
        return anew()
    made = command(kept, anew)
    kept.known.note(key, kept, made)
    return made


def _within(cgroup: "Cgroup | None") -> Within:
    if cgroup is None:
        return None
    return tuple((hierarchy, str(path)) for hierarchy, path in cgroup.directories.items())


def _beside(groups: BoxGroups | None) -> tuple[tuple[Hierarchy, str], ...]:
    return () if groups is None else tuple(groups.directories.items())


def arguments(args: Args) -> tuple[StrOrBytesPath, ...]:
    """Check a command: a program and its arguments, or the program alone."""
    if isinstance(args, list | tuple):  # mostly; to ask for os.PathLike takes longer
        listed = tuple(args)
    else:
        listed = (args,) if isinstance(args, str | bytes | os.PathLike) else tuple(args)
    if not listed:
        raise ValueError("args: a program and its arguments, not an empty sequence")
    for argument in listed:
        if not isinstance(argument, str | bytes | os.PathLike):
            raise ValueError(f"args: str, bytes or os.PathLike, not {argument!r}")
    return listed


def check_environment(field: str, value: Mapping[Any, Any]) -> None:
    """Refuse what no environment can hold, naming the field. See environ(7)."""
    for name, content in frozen_map(value, field).items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise ValueError(f"{field}: maps str to str, not {name!r} to {content!r}")
        if not name or "=" in name or not is_kernel_text(name + content):
            raise ValueError(f"{field}: no such variable can be: {name!r}={content!r}")


def _command(
    spec: "BoxSpec",
    lowered: Lowered,
    invocation: Invocation | None,
    *,
    anew: Callable[[], Command] | None = None,
    joined: Mapping[int, int] | None = None,
    groups: BoxGroups | None = None,
) -> Command:
    """Make a command with a box, or in one: then `joined` leads there, and these are its groups."""
    listed: tuple[StrOrBytesPath, ...] = ()
    options = NO_OPTIONS
    if invocation is not None:
        listed, options = arguments(invocation.args), invocation.options
    strings = Strings(_argv(listed), _environment_of(spec, invocation))
    at_end = lowered.ending if groups is None else ending(groups.directories, made=False)
    ready = Ready(
        lowered.encoded_for(spec.hostname),
        strings,
        at_end,
        places=lowered.places if groups is None else (),
        end_signal=lowered.end_signal,
        checked=anew is not None,
    )
    return Command(
        strings,
        ready,
        _owning(lowered) if groups is None else lambda _: Own(groups.shared),
        lambda index, errno: lowered.failure(index, errno, listed, spec.hostname),
        lowered.end_signal,
        STOP_COMMAND if spec.init else signal.SIGSTOP,
        functools.partial(connected, spec) if spec.link is not None and joined is None else None,
        functools.partial(_published, spec) if spec.ports and joined is None else None,
        _joined(lowered) if joined is None else joined,
        functools.partial(_opened, spec)
        if lowered.joins and lowered.held is None and joined is None
        else None,
        options.passed(),
        bool(options.terminal),
        spec.security.handler if invocation is not None else None,
        bool(lowered.works) and groups is None,
        anew,
    )


def _environment_of(spec: "BoxSpec", invocation: Invocation | None) -> tuple[bytes, ...]:
    if invocation is None or invocation.env is None:
        return _kept_environment(spec.env)
    check_environment("env", invocation.env)
    return _environment(invocation.env)


def _environment(env: Mapping[str, str]) -> tuple[bytes, ...]:
    return tuple(f"{name}={value}".encode(errors="surrogateescape") for name, value in env.items())


_kept_environment = functools.lru_cache(maxsize=64)(_environment)


def _argv(args: Sequence[StrOrBytesPath]) -> tuple[bytes, ...]:
    argv = tuple(map(os.fsencode, args))
    if b"\0" in b"".join(argv):
        raise ValueError("args: embedded null byte")
    return argv


def _joined(lowered: Lowered) -> Mapping[int, int]:
    return {} if lowered.held is None else {Slot.NS_MNT: lowered.held.namespace}


@contextlib.contextmanager
def _opened(spec: "BoxSpec", port: Port | None) -> Iterator[Mapping[int, int]]:
    """Open the namespaces that a box joins, and those that its mounts are mapped by."""
    if port is not None:
        spec = unlinked(spec, port.namespace)
    with (
        opened(spec.choices, spec.id_map, Caller.current()) as joined,
        idmaps(spec.rootfs.mounts) as maps,
    ):
        yield {**joined, **maps}


def _published(spec: "BoxSpec") -> Publication:
    """Take the ports of the host's loopback that are to lead into a box."""
    check_tracing(spec, "ports")
    from nsbox.publish import Published  # noqa: PLC0415 - few boxes have any

    return Published(spec.ports)
