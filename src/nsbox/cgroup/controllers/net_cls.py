"""The net_cls subsystem of v1: cgroup-v1/net_cls.rst. On v2 an eBPF program takes its place."""

from typing import Any

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, refuse, told
from nsbox.cgroup.resources import Resources

NAMES = {1: "net_cls", 2: "net_cls"}
FIELDS = ("net_cls_classid",)


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Refuse: v2 has no such file."""
    refuse(2, {"net_cls_classid": wish.net_cls_classid}, instead=", but eBPF programs")
    return []


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the one file."""
    if wish.net_cls_classid is None:
        return []
    return [Write("net_cls.classid", str(wish.net_cls_classid), "net_cls_classid")]


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return {"net_cls_classid": told(read, "net_cls.classid", formats.single)}


def read_v2(read: Read) -> dict[str, Any]:
    """Nothing is to be read."""
    return {}
