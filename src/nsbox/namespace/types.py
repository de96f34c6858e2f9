"""The eight kinds of namespace, from one table."""

import enum
from collections.abc import Iterable

from nsbox.constants import CloneFlag
from nsbox.plan import Slot


class NamespaceType(enum.Enum):
    """A kind of namespace, under its name in ``/proc/PID/ns``. See namespaces(7)."""

    CGROUP = "cgroup", CloneFlag.CLONE_NEWCGROUP, "cgroup_namespaces(7)"
    IPC = "ipc", CloneFlag.CLONE_NEWIPC, "ipc_namespaces(7)"
    MNT = "mnt", CloneFlag.CLONE_NEWNS, "mount_namespaces(7)"
    NET = "net", CloneFlag.CLONE_NEWNET, "network_namespaces(7)"
    PID = "pid", CloneFlag.CLONE_NEWPID, "pid_namespaces(7)"
    TIME = "time", CloneFlag.CLONE_NEWTIME, "time_namespaces(7)"
    USER = "user", CloneFlag.CLONE_NEWUSER, "user_namespaces(7)"
    UTS = "uts", CloneFlag.CLONE_NEWUTS, "uts_namespaces(7)"

    def __init__(self, proc_name: str, clone_flag: CloneFlag, reference: str) -> None:
        self.proc_name = proc_name
        self.clone_flag = clone_flag
        self.reference = reference

    @property
    def slot(self) -> Slot:
        """Where a plan finds a namespace of this kind that is to be joined."""
        return Slot[f"NS_{self.name}"]

    def __repr__(self) -> str:
        return f"NamespaceType.{self.name}"


def clone_flags(kinds: Iterable[NamespaceType]) -> CloneFlag:
    """Return the flags that make a namespace of each kind. See clone(2)."""
    flags = CloneFlag(0)
    for kind in kinds:
        flags |= kind.clone_flag
    return flags
