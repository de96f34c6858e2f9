"""What a box may do, as a value."""

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import Capability
from nsbox.display import Displayed
from nsbox.fields import instance_of
from nsbox.plan import Slot, Step
from nsbox.security.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES
from nsbox.security.labels import check_label, label_steps
from nsbox.security.landlock import Landlock
from nsbox.security.rlimits import Limits, limit_steps, read_limits
from nsbox.security.seccomp import FilterProgram, Seccomp

if TYPE_CHECKING:
    from nsbox.security.notify import Handler

_WAITING = ("ppoll", "recvmsg", "dup3", "close", "futex", "restart_syscall")
"""What a process calls from the filter to the exec, where it waits for its command in between."""

_TO_CHANGE_IDS = Capability.CAP_SETUID | Capability.CAP_SETGID

WRITABLE = ("/dev", "/proc", "/tmp")
"""Where `Security.strict` lets a command write, as far as the file systems there do."""


def _capabilities(_: Any, attribute: "attrs.Attribute[Capability]", value: Any) -> None:
    if not isinstance(value, Capability) or value & ~ALL_CAPABILITIES:
        raise ValueError(f"{attribute.name}: a Capability, joined by |, not {value!r}")


@attrs.frozen(kw_only=True, cache_hash=True)
class Security(Displayed):
    """What the commands of a box may do; made by `default`, `strict` or `privileged`, and evolved.

    - `capabilities`: those that root in the box has; what is left out is gone for good. The
      inheritable set is empty but for `ambient`. See capabilities(7).
    - `ambient`: those among them that a command of another user has, and hands down.
    - `seccomp`: the filter of system calls; None for none. See seccomp(2).
    - `apparmor`, `selinux`: a profile, a label, that commands run under. See apparmor(7).
    - `landlock`: what files may be reached; None for whatever permissions say. See landlock(7).
    - `no_new_privs`: whether set-user-ID programs and file capabilities give nothing. A filter
      needs it. See PR_SET_NO_NEW_PRIVS(2const).
    - `keyring`: whether a command has an empty session keyring of its own; None: where its starter
      is root, as an ordinary user's quota has room for some 200. See session-keyring(7).
    - `rlimits`: limits of each process, by the names of getrlimit(2): ``{"nofile": 1024}``.
    - `user_namespace`: whether the box is in a user namespace of its own though its starter could
      do without.
    - `needs_limits`: whether a spec must limit memory and the number of tasks.

    Raises `ValueError`, naming the field, for what cannot be.
    """

    capabilities: Capability = attrs.field(default=DEFAULT_CAPABILITIES, validator=_capabilities)
    ambient: Capability = attrs.field(default=Capability(0), validator=_capabilities)
    seccomp: Seccomp | FilterProgram | None = attrs.field(default=Seccomp.standard())
    apparmor: str | None = attrs.field(default=None, validator=check_label)
    selinux: str | None = attrs.field(default=None, validator=check_label)
    landlock: Landlock | None = attrs.field(
        default=None, validator=instance_of(Landlock, or_none=True)
    )
    no_new_privs: bool = attrs.field(default=True, validator=instance_of(bool))
    keyring: bool | None = attrs.field(default=None, validator=instance_of(bool, or_none=True))
    rlimits: Limits = attrs.field(factory=dict, converter=read_limits)
    user_namespace: bool = attrs.field(default=False, validator=instance_of(bool))
    needs_limits: bool = attrs.field(default=False, validator=instance_of(bool))

    @seccomp.validator
    def _check_seccomp(self, _: Any, value: Any) -> None:
        if value is not None and not isinstance(value, Seccomp | FilterProgram):
            raise ValueError(f"seccomp: a Seccomp, a FilterProgram or None, not {value!r}")

    def __attrs_post_init__(self) -> None:
        """Refuse what the kernel would, for a process without CAP_SYS_ADMIN."""
        if beyond := self.ambient & ~self.capabilities:
            raise ValueError(f"ambient: of the capabilities, which {beyond!r} is not")
        for field in ("seccomp", "landlock"):
            if getattr(self, field) is not None and not self.no_new_privs:
                raise ValueError(f"{field}: takes no_new_privs, so that must be True")

    @classmethod
    def default(cls) -> "Security":
        """What container engines ship: a bounded root, and a list of system calls."""
        return cls()

    @classmethod
    def strict(cls) -> "Security":
        """For programs that nobody trusts: a user namespace, no capability, a smaller filter.

        Files can be written in /tmp and the private parts of /dev and /proc alone, and the spec
        must set `memory_max` and `pids_max`. A box shares the host's kernel all the same.
        """
        return cls(
            capabilities=Capability(0),
            seccomp=Seccomp.strict(),
            landlock=Landlock(execute=("/",), write=WRITABLE),
            rlimits={"core": 0, "memlock": 65536},
            user_namespace=True,
            needs_limits=True,
        )

    @classmethod
    def privileged(cls) -> "Security":
        """Nothing dropped and nothing filtered: as much as its starter may do."""
        return cls(capabilities=ALL_CAPABILITIES, seccomp=None, no_new_privs=False)

    @property
    def handler(self) -> "Handler | None":
        """Who is asked about system calls, if anybody is."""
        return self.seccomp.handler if isinstance(self.seccomp, Seccomp) else None

    @property
    def is_privileged(self) -> bool:
        """Whether nothing holds a command back but its namespaces."""
        return self.capabilities == ALL_CAPABILITIES and self.seccomp is None

    def __str__(self) -> str:
        if self.is_privileged:
            return "PRIVILEGED: no capability dropped, no system call filtered"
        kept = "|".join(str(one.name) for one in self.capabilities) or "none"
        filtered = "no filter" if self.seccomp is None else "filtered"
        return f"capabilities: {kept}; system calls: {filtered}"

    def first_process_steps(self, *, changes_ids: bool = False) -> Iterator[Step]:
        """Lower what holds for all of the box: no process in it gets these rights again.

        Where the command is to change its ids, it is left the rights to do that, and drops them
        by `identity_steps`.
        """
        kept = self.capabilities | (_TO_CHANGE_IDS if changes_ids else Capability(0))
        yield Step(Operation.CAPBSET_DROP, (ALL_CAPABILITIES & ~self.capabilities,))
        yield Step(Operation.CAPSET, (kept,))
        if self.no_new_privs:
            yield Step(Operation.NO_NEW_PRIVS)

    def identity_steps(self, *, other_user: bool = False) -> Iterator[Step]:
        """Lower the end of the rights that changing ids took, and what another user keeps."""
        if other_user and self.ambient:  # they were kept by KEEPCAPS
            yield Step(Operation.CAPSET, (self.ambient,))
            yield Step(Operation.AMBIENT, (self.ambient,))
            return
        if self.capabilities & _TO_CHANGE_IDS != _TO_CHANGE_IDS:
            yield Step(Operation.CAPSET, (self.capabilities,))

    def command_steps(self, *, by_root: bool) -> Iterator[Step]:
        """Lower what a command does to itself, last before its exec."""
        # Where a filter around us keeps us from keys, it keeps the command from them as well.
        wanted = by_root and _native.ask("keyctl") == -errno.EOPNOTSUPP
        if wanted if self.keyring is None else self.keyring:
            yield Step(Operation.JOIN_SESSION_KEYRING)
        yield from limit_steps(self.rlimits)
        if self.landlock is not None:
            yield from self.landlock.steps()

    @property
    def lets_wait(self) -> bool:
        """Whether a box that is made ahead can load the filter before it waits: see park.c."""
        return self.seccomp is None or self.seccomp.allows(*_WAITING)

    def filter_steps(self) -> Iterator[Step]:
        """Lower what comes with the exec, and the filter: after it there is nothing else."""
        yield from label_steps(self.apparmor, self.selinux)
        if self.handler is not None:
            assert self.seccomp is not None
            yield Step(Operation.SECCOMP_NOTIFY, (self.seccomp.program(), Slot.NOTIFY))
        elif self.seccomp is not None:
            yield Step(Operation.SECCOMP, (self.seccomp.program(),))
