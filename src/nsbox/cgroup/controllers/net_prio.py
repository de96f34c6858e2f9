"""The net_prio subsystem of v1: cgroup-v1/net_prio.rst. On v2 an eBPF program takes its place."""

from typing import Any

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, refuse, told
from nsbox.cgroup.resources import Resources

NAMES = {1: "net_prio", 2: "net_prio"}
FIELDS = ("net_prio_ifpriomap",)


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Refuse: v2 has no such file."""
    refuse(
        2,
        {"net_prio_ifpriomap": wish.net_prio_ifpriomap},
        instead="; an eBPF program can tell by group",
    )
    return []


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the one file, a write for each interface."""
    return [
        Write("net_prio.ifpriomap", f"{interface} {priority}", "net_prio_ifpriomap")
        for interface, priority in (wish.net_prio_ifpriomap or {}).items()
    ]


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return {"net_prio_ifpriomap": told(read, "net_prio.ifpriomap", formats.flat)}


def read_v2(read: Read) -> dict[str, Any]:
    """Nothing is to be read."""
    return {}
