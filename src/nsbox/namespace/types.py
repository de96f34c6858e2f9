"""The eight kinds of namespace, from one table, and which of them a box gets."""

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from nsbox.constants import CloneFlag
from nsbox.frozen import FrozenMap


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

    def __repr__(self) -> str:
        return f"NamespaceType.{self.name}"


class Choice(enum.Enum):
    """What a box gets of one kind: a namespace of its own, or its starter's."""

    NEW = "new"
    HOST = "host"

    def __repr__(self) -> str:
        return f"Choice.{self.name}"


Choices = FrozenMap[NamespaceType, Choice]


ISOLATED: Choices = FrozenMap(
    dict.fromkeys(
        (
            NamespaceType.CGROUP,
            NamespaceType.IPC,
            NamespaceType.MNT,
            NamespaceType.NET,
            NamespaceType.PID,
            NamespaceType.UTS,
        ),
        Choice.NEW,
    )
)
"""What a `BoxSpec` has unless told otherwise: a namespace of its own of each of six kinds.

Change it with ``|``: ``ISOLATED | {NamespaceType.NET: Choice.HOST}``.
"""


def check_choices(_: Any, attribute: "attrs.Attribute[Choices]", value: Mapping[Any, Any]) -> None:
    """Refuse what is no `NamespaceType`, or no `Choice`."""
    for kind, choice in value.items():
        if not isinstance(kind, NamespaceType) or not isinstance(choice, Choice):
            raise ValueError(
                f"{attribute.name}: maps a NamespaceType to a Choice, not {kind!r} to {choice!r}"
            )
