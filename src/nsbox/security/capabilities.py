"""The capabilities that a box keeps. See capabilities(7)."""

from nsbox._native.operations import Operation
from nsbox.constants import Capability
from nsbox.plan import Step

DEFAULT_CAPABILITIES = (
    Capability.CAP_CHOWN
    | Capability.CAP_DAC_OVERRIDE
    | Capability.CAP_FOWNER
    | Capability.CAP_FSETID
    | Capability.CAP_KILL
    | Capability.CAP_SETGID
    | Capability.CAP_SETUID
    | Capability.CAP_SETPCAP
    | Capability.CAP_NET_BIND_SERVICE
    | Capability.CAP_NET_RAW
    | Capability.CAP_SYS_CHROOT
    | Capability.CAP_MKNOD
    | Capability.CAP_AUDIT_WRITE
    | Capability.CAP_SETFCAP
)
"""What container engines leave to a process that is root in its container."""

ALL_CAPABILITIES = Capability((1 << 41) - 1)


def steps(kept: Capability) -> list[Step]:
    """Lower a set of capabilities: bound to it, holding it, nothing inheritable or ambient."""
    return [
        Step(Operation.CAPBSET_DROP, (ALL_CAPABILITIES & ~kept,)),
        Step(Operation.CAPSET, (kept,)),
        Step(Operation.NO_NEW_PRIVS),
    ]
