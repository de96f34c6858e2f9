"""A namespace of each kind made by a child, which comes and goes while the caller stays.

The child shares the caller's descriptor table: it opens its namespace's file there, and ends. A pid
namespace is alive as long as its first process is, so there the box's own first process stays in
it. See clone(2), pid_namespaces(7).
"""

from collections.abc import Iterator

from nsbox._native import Launched
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import AT_FDCWD, AtFlag, CloneFlag, Propagation
from nsbox.namespace import ranges
from nsbox.namespace.idmap import IDMap
from nsbox.namespace.offsets import TimeOffsets
from nsbox.namespace.types import NamespaceType
from nsbox.perform import perform
from nsbox.plan import Step


def create(
    kind: NamespaceType, id_map: IDMap | None, offsets: TimeOffsets
) -> tuple[int, Launched | None]:
    """Make a namespace; return its descriptor, and the process that keeps it where one must.

    See `Namespace.create`.
    """
    _check_offsets(kind, offsets)
    caller = Caller.current()
    needs_user = kind is NamespaceType.USER or not caller.privileged
    if id_map is not None and not needs_user:
        raise ValueError(f"id_map: goes with a user namespace, not with {kind!r}")
    id_map = id_map or IDMap()
    if kind is NamespaceType.USER and id_map.has_ranges:
        return create_with_ranges(id_map, caller), None
    if id_map.has_ranges:
        raise ValueError("id_map: for ranges, create the USER namespace by itself")
    flags = CloneFlag.CLONE_NEWUSER if needs_user else CloneFlag(0)
    maps = list(map_steps(id_map, caller)) if needs_user else []
    launched = perform([*_steps(kind, flags, maps, offsets)])
    return launched.take_descriptor(), launched if launched.pidfd >= 0 else None


def map_steps(id_map: IDMap, caller: Caller) -> Iterator[Step]:
    """Let the maker of a user namespace map itself from inside. See user_namespaces(7)."""
    uid_line, gid_line = id_map.lines(caller.uid, caller.gid)
    # In this order: a gid_map takes no entry of an unprivileged writer before the "deny".
    yield Step(Operation.WRITE, ("/proc/self/setgroups", b"deny"))
    yield Step(Operation.WRITE, ("/proc/self/uid_map", uid_line.encode()))
    yield Step(Operation.WRITE, ("/proc/self/gid_map", gid_line.encode()))


def create_with_ranges(id_map: IDMap, caller: Caller) -> int:
    """Make a user namespace whose maps are written from outside; return its descriptor.

    A process waits in it until they are: it cannot write ranges itself.
    """
    lines = ranges.resolve(id_map, caller)
    waiting = perform(
        [
            Step(Operation.CLONE3, (CloneFlag.CLONE_NEWUSER,)),
            Step(Operation.HAND_OVER, ("/proc/self/ns/user",)),
            *_STAY,
        ]
    )
    try:
        ranges.write(waiting.pid, lines, caller)
    except BaseException:
        waiting.abandon()
        raise
    waiting.end()
    return waiting.take_descriptor()


_STAY = (Step(Operation.UNSHARE_FILES), Step(Operation.DUP2), Step(Operation.EXECVEAT))
"""Become a first process that has no command; it ends when its maker does."""

_PRIVATE = Step(
    Operation.REMOUNT,  # which every kernel knows
    (AT_FDCWD, "/", AtFlag.AT_RECURSIVE, 0, 0, Propagation.MS_PRIVATE),
)
"""A copy of the host's mounts that stayed a peer of them would slow down each mount there."""


def _steps(
    kind: NamespaceType, flags: CloneFlag, maps: list[Step], offsets: TimeOffsets
) -> Iterator[Step]:
    file = f"/proc/self/ns/{kind.proc_name}"
    if kind is NamespaceType.TIME:
        yield Step(Operation.CLONE3, (flags,))
        yield from maps
        yield from offsets.handing_over_steps()
        return
    yield Step(Operation.CLONE3, (flags | kind.clone_flag,))
    yield from maps
    if kind is NamespaceType.MNT:
        yield _PRIVATE
    if kind is NamespaceType.NET:
        yield Step(Operation.LOOPBACK_UP)
    yield Step(Operation.HAND_OVER, (file,))
    if kind is NamespaceType.PID:
        yield from _STAY
        yield Step(Operation.NOT_DUMPABLE)


def _check_offsets(kind: NamespaceType, offsets: TimeOffsets) -> None:
    for name in offsets.parts:
        if kind is not NamespaceType.TIME:
            raise ValueError(f"{name}: only a TIME namespace has clocks of its own, not {kind!r}")
