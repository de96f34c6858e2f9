"""The capabilities that a box keeps. See capabilities(7)."""

from nsbox.constants import Capability

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
    | Capability.CAP_AUDIT_WRITE
    | Capability.CAP_SETFCAP
)
"""What container engines leave to a process that is root in its container, without CAP_MKNOD.

A device that a box made could be opened wherever it lands on a file system without nodev; and no
list of devices stands in its way unless the box has a cgroup for that.
"""

ALL_CAPABILITIES = Capability((1 << 41) - 1)
