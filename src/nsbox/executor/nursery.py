"""Where a zygote lives that forks a process for each call into a box of the call's own.

The boxes are started by the caller, as all others are: with a first process, and without a command.
The zygote is the caller's own interpreter, in a box of its own that keeps the rights that it takes
to enter another. It forks; the fork enters the call's box and gives up what a command there does
not have, and only then is it told what to call. See docs/decisions/0016.

Because of these rights nothing that is not the caller's own may run there: the root is the host's
and holds nothing that a box can write to. Where that cannot be had there is no nursery, and a call
shares its worker's box with the calls before it.
"""

import os
import pickle
from errno import errorcode

import attrs

from nsbox import hints, sequence
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.constants import Capability
from nsbox.errors import StepError
from nsbox.executor.settings import Settings
from nsbox.namespace import Choice, IDMap, Namespace, NamespaceType, TimeOffsets
from nsbox.namespace.choices import Chosen
from nsbox.namespace.joining import Lineup, line_up
from nsbox.options import NO_OPTIONS
from nsbox.plan import Step, encode
from nsbox.rootfs import Mount
from nsbox.rootfs.mount import BindMount
from nsbox.rootfs.python import needed, python_mounts
from nsbox.rootfs.root import SystemRoot
from nsbox.rootfs.system import PROGRAMS
from nsbox.security import Security
from nsbox.spec import BoxSpec

ENTERING = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_CHROOT | Capability.CAP_SETPCAP
"""What it takes to enter a box and to drop from the bounding set: setns(2), capabilities(7)."""

CHANGING_IDS = Capability.CAP_SETUID | Capability.CAP_SETGID


@attrs.frozen(kw_only=True, eq=False)
class Nursery:
    """What the zygote of one worker is in, and what its calls are to be in.

    `spec` is for the zygote, `box` for each call; `steps` make a fork of the one a process of the
    other, by the namespaces of the box: `entered`, by their names in /proc. `user` is the user
    namespace that all are in, where it is not the caller's.
    """

    spec: BoxSpec
    box: BoxSpec
    steps: tuple[Step, ...]
    entered: tuple[NamespaceType, ...]
    user: Namespace | None

    @classmethod
    def of(cls, settings: Settings) -> "Nursery | None":
        """Make one for a worker; None where there can be none. Raises what making a `user` does."""
        if not can_be(settings):
            return None
        caller = Caller.current()
        lineup = line_up(settings.spec.choices, settings.spec.id_map, caller)
        user = None
        if lineup.changes_user:
            user = Namespace.create(NamespaceType.USER, id_map=settings.spec.id_map)
        try:
            box = _box(settings.spec, user)
            kinds = sequence.entered(line_up(box.choices, box.id_map, caller))
            return cls(
                spec=_nursery(settings.spec, user),
                box=box,
                steps=tuple(sequence.forked(box, caller)),
                entered=(NamespaceType.PID, *kinds),
                user=user,
            )
        except BaseException:
            if user is not None:
                user.close()
            raise

    def message(self) -> bytes:
        """Return what the zygote is told beforehand: the parameters of `nsbox.zygote.Zygote`."""
        slots = [int(kind.slot) for kind in self.entered]
        codes = {operation.name: operation.code for operation in Operation}
        plans = [encode([sequence.BEGETTING]), encode(self.steps)]
        return pickle.dumps((*plans, slots, codes))

    def failure(self, index: int, errno: int) -> StepError | None:
        """Make the error for the step of a fork that failed, if there is such a step and error.

        It is told by the call's process, which may be anybody by then.
        """
        if index not in range(len(self.steps)) or errno not in errorcode:
            return None
        step = self.steps[index]
        hint = hints.hint(step, errno)
        return StepError.of(step, errno, index, box=self.box.hostname, hint=hint)

    def close(self) -> None:
        """Let go of the user namespace."""
        if self.user is not None:
            self.user.close()


def can_be(settings: Settings) -> bool:
    """Whether a zygote can fork into boxes of these settings, and may, for the calling process."""
    spec, caller = settings.spec, Caller.current()
    lineup = line_up(spec.choices, spec.id_map, caller)
    return (
        settings.isolation == "process"
        and settings.python is None
        and settings.pool is None
        and isinstance(spec.rootfs, SystemRoot)
        and spec.rootfs.python
        and not _touches_imports(spec.rootfs)
        and NamespaceType.MNT in lineup.new
        # A label comes with an exec, and who sends a filter's listener is to exec.
        and spec.security.handler is None
        and spec.security.apparmor is None
        and spec.security.selinux is None
        # What the network knows it by is one machine, and not one for each call.
        and spec.link is None
        and not spec.ports
        and _has_rights(spec, lineup, caller)
    )


def _has_rights(spec: BoxSpec, lineup: Lineup, caller: Caller) -> bool:
    """Whether the zygote has rights to all the namespaces: as root of the one that owns them."""
    if not lineup.changes_user:
        return caller.capabilities & ENTERING == ENTERING
    made = NamespaceType.USER in lineup.new or spec.id_map.has_ranges
    others = set(lineup.joined) - {NamespaceType.USER}
    return made and not others and spec.id_map.uid == spec.id_map.gid == 0


def _touches_imports(rootfs: SystemRoot) -> bool:
    """Whether a box has something else where modules are imported from, or can write there."""
    mounted = [mount.target for mount in rootfs.mounts]
    written = [
        os.path.realpath(source)
        for mount in rootfs.mounts
        if not (isinstance(mount, BindMount) and mount.readonly)
        for source in mount.sources
    ]
    return any(
        _holds(one, path) or _holds(path, one)
        for path in _import_paths()
        for one in (*mounted, *written)
    )


def _import_paths() -> set[str]:
    """List where modules come from; of the root as a whole, only what programs need is shown."""
    found = {f"/{name}" for name in PROGRAMS}
    for path in needed():
        found |= {os.path.abspath(path), os.path.realpath(path)}
    return found - {"/"}


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _box(spec: BoxSpec, user: Namespace | None) -> BoxSpec:
    """Return what a call's box is: one of the spec, in the worker's group."""
    assert isinstance(spec.rootfs, SystemRoot)
    shown = (*python_mounts(), *spec.rootfs.mounts)  # as the zygote sees it, for good
    return attrs.evolve(
        spec,
        rootfs=attrs.evolve(spec.rootfs, python=False, mounts=shown),
        namespaces=spec.namespaces | _joined(user),
        id_map=IDMap() if user is not None else spec.id_map,
        resources=Resources(),
        security=attrs.evolve(spec.security, needs_limits=False),
        args=(),
    )


def _nursery(spec: BoxSpec, user: Namespace | None) -> BoxSpec:
    """Return what the zygote's box is: the spec's, as far as its forks need it, and not held back.

    It is in the caller's pid namespace: from there one can only go down, and what is further down
    sees nothing of it. What is mounted for the calls is not there.
    """
    rights = spec.security.capabilities | ENTERING
    if spec.options(NO_OPTIONS).changes_ids:
        rights |= CHANGING_IDS
    own: dict[NamespaceType, Chosen] = {
        kind: chosen if chosen is Choice.HOST else Choice.NEW
        for kind, chosen in spec.namespaces.items()
        if kind not in (NamespaceType.TIME, NamespaceType.USER)
    }
    proc = Mount.bind("/proc", "/proc", readonly=True)
    return attrs.evolve(
        spec,
        rootfs=attrs.evolve(spec.rootfs, mounts=(proc,)),
        namespaces=own | {NamespaceType.PID: Choice.HOST} | _joined(user),
        id_map=IDMap() if user is not None else spec.id_map,
        time_offsets=TimeOffsets(),
        security=Security(capabilities=rights, seccomp=None, no_new_privs=False),
        sysctl={},
        cwd="/",
        user=None,
        group=None,
        args=(),
    )


def _joined(user: Namespace | None) -> dict[NamespaceType, Chosen]:
    return {} if user is None else {NamespaceType.USER: user}
