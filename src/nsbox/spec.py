"""The wish for a box, as a value."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import attrs

from nsbox import kernel_parameters, lower, scheduling
from nsbox.cgroup import Resources
from nsbox.commands import arguments, check_environment
from nsbox.display import Displayed
from nsbox.fields import frozen_map, instance_of, is_kernel_text
from nsbox.frozen import FrozenMap
from nsbox.link import Link, check_link
from nsbox.memory_policy import MemoryPolicy
from nsbox.namespace import ISOLATED, Choice, IDMap, NamespaceType, TimeOffsets
from nsbox.namespace.choices import Choices, check_choices, choices
from nsbox.options import Options, check_umask, group_id, user_id
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Plan
from nsbox.rootfs import RootFS
from nsbox.scheduling import Levelled
from nsbox.security import Security

if TYPE_CHECKING:
    from nsbox.box import Box
    from nsbox.cgroup.cgroup import Cgroup

ENVIRONMENT: FrozenMap[str, str] = FrozenMap(
    {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
    }
)
"""What a command finds in its environment unless told otherwise: nothing of the caller's."""

HOST_NAME_MAX = 64


def _host_name(_: Any, attribute: "attrs.Attribute[str | None]", value: str | None) -> None:
    if value is None:
        return
    size = len(value.encode(errors="surrogateescape")) if is_kernel_text(value) else 0
    if not 0 < size <= HOST_NAME_MAX:
        raise ValueError(
            f"{attribute.name}: 1 to {HOST_NAME_MAX} bytes without null bytes, not {value!r}"
        )


def _variables(value: Mapping[str, str]) -> FrozenMap[str, str]:
    return frozen_map(value, "env")


def _environment(_: Any, attribute: "attrs.Attribute[Any]", value: Mapping[Any, Any]) -> None:
    check_environment(attribute.name, value)


def _args(value: Iterable[str]) -> tuple[str, ...]:
    args = (
        tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
    )
    if args is None or not all(is_kernel_text(argument) for argument in args):
        raise ValueError(f"args: a sequence of str without null bytes, not {value!r}")
    return args


def _at(value: Any, index: int) -> Any:
    """Write an index into what of a field's value is text."""
    if isinstance(value, str):
        return value.replace("{index}", str(index))
    if isinstance(value, tuple | list):
        return type(value)(_at(item, index) for item in value)
    if type(value) in (dict, FrozenMap):
        return {key: _at(item, index) for key, item in value.items()}
    return value


def _ports(value: Any) -> tuple[tuple[int, int], ...]:
    """Read ports as pairs: of the host's and of the box's, 0 for any that is free there."""
    if isinstance(value, int | str | bytes) or not isinstance(value, Iterable):
        raise ValueError(
            f"ports: such as {{8080: 80}}, or [80] for any of the host's, not {value!r}"
        )
    given = value.items() if isinstance(value, Mapping) else value
    pairs = tuple(one if isinstance(one, tuple) else (0, one) for one in given)
    if not all(len(pair) == 2 and _is_port(pair[0], 0) and _is_port(pair[1], 1) for pair in pairs):
        raise ValueError(f"ports: numbers up to 65535, those of the box from 1 on, not {value!r}")
    for side in ([o for o, _ in pairs if o], [i for _, i in pairs]):
        if len(set(side)) != len(side):
            raise ValueError(f"ports: each once, not {value!r}")
    return pairs


def _is_port(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= 65535


def _fspath(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _absolute(_: Any, attribute: "attrs.Attribute[str]", value: Any) -> None:
    if not is_kernel_text(value) or not PurePosixPath(value).is_absolute():
        raise ValueError(f"{attribute.name}: an absolute path in the box, not {value!r}")


@attrs.frozen(kw_only=True, cache_hash=True, repr=False)
class BoxSpec(Displayed):
    """The wish for a box: what it sees, what it may do. A value: making one touches nothing.

    - `hostname`: its host name, up to 64 bytes; its own copy of the starter's if None.
      See sethostname(2).
    - `domainname`: its NIS domain name, which takes a uts namespace of its own. See
      setdomainname(2).
    - `sysctl`: kernel parameters of its namespaces: ``{"net.ipv4.ip_forward": "1"}``. Those that
      no namespace has of its own are the host's, and refused. See sysctl(8).
    - `rootfs`: what it takes for ``/``, if its mnt namespace is new.
    - `namespaces`: of each `NamespaceType`, a new one (`Choice.NEW`), the starter's (`Choice.HOST`,
      or nothing), or one to join: a `Namespace`, or the path of one. See `ISOLATED`. A user
      namespace is added when the starter has no right to do without: a new one, or the one that
      owns what is joined.
    - `id_map`: who is who in a new user namespace, which one with ranges asks for by itself; of
      one that is joined, as whom the box is in it.
    - `time_offsets`: how far its clocks are off, in a time namespace that is new.
    - `resources`: its limits, by cgroups made for it.
    - `link`: a `nsbox.network.Bridge` that it is on, by the net namespace that is new: it gets an
      address there, and the other machines' names in its /etc/hosts. None: it is on its own.
    - `ports`: those of its TCP ports that the host's loopback shows, by the port there:
      ``{8080: 80}``; ``[80]`` takes any that is free, see `Box.ports`.
    - `security`: what its commands may do; see `Security`.
    - `args`: the command that goes with it, which `nsbox.run` and `nsbox.popen` start if they are
      given none; what an image wants to run, for one.
    - `env`: its whole environment, str to str.
    - `cwd`: the folder, in the box, in which its commands start.
    - `user`, `group`: as whom its commands run, by id or by a name of the host's; as the box's root
      if None. See credentials(7).
    - `umask`: the permission bits that their new files do not get. See umask(2).
    - `nice`: -20 to 19, see nice(2); `scheduler`: ``"other"``, ``"batch"``, ``"idle"``, or
      ``("fifo", 1)`` and ``("rr", 1)`` to 99, see sched(7); `affinity`: the CPUs that it runs on,
      by number, see sched_setaffinity(2); `io_priority`: ``("realtime", 0)`` and
      ``("best-effort", 0)`` to 7, or ``"idle"``, see ioprio_set(2); `oom_score_adj`: -1000 to 1000,
      see proc_pid_oom_score_adj(5); `memory_policy`: a `MemoryPolicy`; `personality`: flags such as
      0x0040000, see personality(2). They hold for all of the box, by the starter's rights; what is
      None is as the starter's own.
    - `init`: whether a first process of ours stands above the command: it reaps orphans, passes
      signals on, tells the usage and ends the box when the starter dies. Without it, the command
      itself is process 1 of its pid namespace, and lives on when its starter is killed.

    Raises `ValueError`, naming the field, for values that no box can have.
    """

    hostname: str | None = attrs.field(default=None, validator=_host_name)
    domainname: str | None = attrs.field(default=None, validator=_host_name)
    sysctl: kernel_parameters.Sysctl = attrs.field(
        default=FrozenMap(), converter=kernel_parameters.read, validator=kernel_parameters.check
    )
    rootfs: RootFS = attrs.field(default=RootFS.system(), validator=instance_of(RootFS))
    namespaces: Choices = attrs.field(default=ISOLATED, converter=choices, validator=check_choices)
    id_map: IDMap = attrs.field(default=IDMap(), validator=instance_of(IDMap))
    time_offsets: TimeOffsets = attrs.field(
        default=TimeOffsets(), validator=instance_of(TimeOffsets)
    )
    resources: Resources = attrs.field(default=Resources(), validator=instance_of(Resources))
    link: Link | None = attrs.field(default=None, validator=check_link)
    ports: tuple[tuple[int, int], ...] = attrs.field(default=(), converter=_ports)
    security: Security = attrs.field(default=Security(), validator=instance_of(Security))
    args: tuple[str, ...] = attrs.field(default=(), converter=_args)
    env: FrozenMap[str, str] = attrs.field(
        default=ENVIRONMENT, converter=_variables, validator=_environment
    )
    cwd: str = attrs.field(default="/", converter=_fspath, validator=_absolute)
    user: int | None = attrs.field(default=None, converter=user_id)
    group: int | None = attrs.field(default=None, converter=group_id)
    umask: int = attrs.field(default=0o022, validator=check_umask)
    nice: int | None = attrs.field(default=None, validator=scheduling.check_nice)
    scheduler: Levelled | None = attrs.field(default=None, validator=scheduling.check_scheduler)
    affinity: frozenset[int] | None = attrs.field(default=None, converter=scheduling.read_affinity)
    io_priority: Levelled | None = attrs.field(default=None, validator=scheduling.check_io_priority)
    oom_score_adj: int | None = attrs.field(default=None, validator=scheduling.check_oom_score_adj)
    memory_policy: MemoryPolicy | None = attrs.field(
        default=None, validator=instance_of(MemoryPolicy, or_none=True)
    )
    personality: int | None = attrs.field(default=None, validator=scheduling.check_personality)
    init: bool = attrs.field(default=True, validator=instance_of(bool))

    def __attrs_post_init__(self) -> None:
        """Refuse what would change the host, its mounts or its name, and what cannot be had."""
        own_mounts = self.namespaces.get(NamespaceType.MNT) is Choice.NEW
        user = self.namespaces.get(NamespaceType.USER, Choice.NEW)
        if not own_mounts and self.rootfs != RootFS.system():
            raise ValueError("rootfs: building one takes a mnt namespace that is Choice.NEW")
        for field in ("hostname", "domainname"):
            uts = self.namespaces.get(NamespaceType.UTS)
            if getattr(self, field) is not None and uts is not Choice.NEW:
                raise ValueError(f"{field}: naming a box takes a uts namespace that is Choice.NEW")
        kernel_parameters.check_namespaces(self.sysctl, self.namespaces)
        if self.id_map.has_ranges and user is not Choice.NEW:
            raise ValueError("id_map: ranges take a user namespace that is Choice.NEW")
        if not self.init and (
            self.id_map.has_ranges
            or not all(isinstance(chosen, Choice) for chosen in self.namespaces.values())
        ):
            raise ValueError("init: it is the first process that joins namespaces, so it must be")
        if not self.init and (self.user is not None or self.group is not None):
            raise ValueError("init: changing user or group takes a first process, so it must be")
        self._check_clocks()
        self._check_link()
        self._check_strictness()

    def _check_clocks(self) -> None:
        if not self.time_offsets.parts:
            return
        if self.namespaces.get(NamespaceType.TIME, Choice.NEW) is not Choice.NEW:
            raise ValueError("time_offsets: they take a time namespace that is Choice.NEW")
        if not self.init:
            raise ValueError("time_offsets: they take a first process, so init must be True")

    def _check_link(self) -> None:
        if self.ports and self.namespaces.get(NamespaceType.NET, Choice.HOST) is Choice.HOST:
            raise ValueError("ports: the host's own network has them already")
        if self.link is None:
            return
        if self.namespaces.get(NamespaceType.NET) is not Choice.NEW:
            raise ValueError("link: it takes a net namespace that is Choice.NEW")
        if not self.init:
            raise ValueError("link: it takes a first process, so init must be True")

    def _check_strictness(self) -> None:
        if not self.security.needs_limits:
            return
        for field in ("memory_max", "pids_max"):
            if getattr(self.resources, field) is None:
                raise ValueError(f"resources: this security takes a limit, {field}")
        for kind in (NamespaceType.NET, NamespaceType.PID, NamespaceType.IPC):
            if self.namespaces.get(kind, Choice.HOST) is Choice.HOST:
                raise ValueError(f"namespaces: this security takes a {kind.proc_name} of the box's")

    def __repr__(self) -> str:
        chosen = ", ".join(
            f"{field.name}={getattr(self, field.name)!r}"
            for field in attrs.fields(type(self))
            if getattr(self, field.name) != field.default
        )
        return f"BoxSpec({chosen})"  # what is not named is as by default

    def plan(self, args: StrOrBytesPath | Sequence[StrOrBytesPath] = ()) -> Plan:
        """Return the steps that starting this box would take, for whoever calls this.

        Looks at the host to know them (which folders there are, who asks), changes nothing and
        needs no privilege. Without `args` it is the plan of `start`, which starts no command.
        """
        return lower.plan(self, arguments(args) if args else ())

    @property
    def choices(self) -> Choices:
        """Its namespaces, with those that its security and its clocks ask for."""
        wanted: dict[NamespaceType, Choice] = {}
        if self.security.user_namespace and NamespaceType.USER not in self.namespaces:
            wanted[NamespaceType.USER] = Choice.NEW
        if self.time_offsets.parts and NamespaceType.TIME not in self.namespaces:
            wanted[NamespaceType.TIME] = Choice.NEW
        return self.namespaces | wanted if wanted else self.namespaces

    def options(self, given: Options) -> Options:
        """Return how a command of this spec is started: as `given`, and where that is silent so."""
        return attrs.evolve(
            given,
            cwd=self.cwd if given.cwd is None else os.path.join(self.cwd, given.cwd),
            user=self.user if given.user is None else given.user,
            group=self.group if given.group is None else given.group,
            umask=self.umask if given.umask is None else given.umask,
        )

    def replicate(self, count: int, **fields: Any) -> "tuple[BoxSpec, ...]":
        """Return `count` specs like this one, with other `fields`.

        In each text among the fields ``{index}`` stands for the spec's place, from 0 on; other
        braces are left as they are: ``spec.replicate(3, hostname="node{index}", link=lan)``.
        Raises what making a spec does, and `TypeError` for a field that there is not.
        """
        if type(count) is not int or count < 0:
            raise ValueError(f"count: a number from 0 on, not {count!r}")
        return tuple(
            attrs.evolve(self, **{name: _at(value, index) for name, value in fields.items()})
            for index in range(count)
        )

    def start(self, *, cgroup: "Cgroup | None" = None) -> "Box":
        """Start a box that stays: its first process, in all that this spec asks for.

        It begins in the group `cgroup`, where one is given; with limits of its own, below.
        Commands join it by `Box.run` and `Box.popen`; it ends with `Box.close`, at the end of a
        ``with`` block, or when its starter dies. Raises `StepError` for the step that failed.
        """
        from nsbox.box import Box  # noqa: PLC0415 - a command alone does without

        return Box(self, cgroup)
