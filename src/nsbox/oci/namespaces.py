"""Namespaces and the maps of ids: config-linux.md, "Namespaces", "User namespace mappings"."""

import os
from typing import Any

from nsbox.namespace import Choice, IDMap, Namespace, NamespaceType, TimeOffsets
from nsbox.namespace.choices import Chosen
from nsbox.namespace.offsets import MAX_OFFSET
from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.procfs import IDMapLine
from nsbox.spec import BoxSpec

_NAMES = {
    NamespaceType.PID: "pid",
    NamespaceType.NET: "network",
    NamespaceType.IPC: "ipc",
    NamespaceType.UTS: "uts",
    NamespaceType.MNT: "mount",
    NamespaceType.CGROUP: "cgroup",
    NamespaceType.USER: "user",
    NamespaceType.TIME: "time",
}
_KINDS = {name: kind for kind, name in _NAMES.items()}


def write(spec: BoxSpec) -> dict[str, Any]:
    """Write what `spec` says of namespaces, as members of ``linux``."""
    if spec.choices.get(NamespaceType.MNT) is not Choice.NEW:
        raise unsupported("namespaces", "a bundle's root takes a mnt namespace of its own")
    listed = []
    for kind, chosen in spec.choices.items():
        if isinstance(chosen, Namespace):
            raise unsupported("namespaces", f"{chosen!r} is a handle; give the path of a file")
        if isinstance(chosen, str):
            listed.append({"type": _NAMES[kind], "path": os.path.abspath(chosen)})
        elif chosen is Choice.NEW:
            listed.append({"type": _NAMES[kind]})
    written: dict[str, Any] = {"namespaces": listed}
    if spec.choices.get(NamespaceType.USER) is Choice.NEW:
        written |= mappings(spec.id_map)
    if spec.time_offsets.parts:
        written["timeOffsets"] = {
            clock: {"secs": seconds, "nanosecs": nanoseconds}
            for clock, (seconds, nanoseconds) in spec.time_offsets.parts.items()
        }
    return written


def mappings(id_map: IDMap) -> dict[str, Any]:
    """Write the two maps of ids."""
    uids, gids = _lines(id_map)
    return {"uidMappings": _mappings(uids), "gidMappings": _mappings(gids)}


def _lines(id_map: IDMap) -> tuple[tuple[IDMapLine, ...], tuple[IDMapLine, ...]]:
    if id_map.subids:
        raise unsupported("id_map", "a bundle names its ranges; give them with IDMap.ranges")
    return (id_map.uids, id_map.gids) if id_map.uids else _alone(id_map)


def _alone(id_map: IDMap) -> tuple[tuple[IDMapLine, ...], tuple[IDMapLine, ...]]:
    """Return the map of a starter who is alone inside, with the caller as the starter."""
    uid, gid = os.geteuid(), os.getegid()
    inside = uid if id_map.uid is None else id_map.uid, gid if id_map.gid is None else id_map.gid
    return (IDMapLine(inside[0], uid, 1),), (IDMapLine(inside[1], gid, 1),)


def _mappings(lines: tuple[IDMapLine, ...]) -> list[dict[str, int]]:
    return [
        {"containerID": line.inside, "hostID": line.outside, "size": line.count} for line in lines
    ]


def read(linux: Node) -> dict[str, Any]:
    """Read the fields `namespaces`, `id_map` and `time_offsets` of a spec."""
    chosen: dict[NamespaceType, Chosen] = {}
    for node in linux.nodes("namespaces"):
        name, path = node.need("type", str), node.get("path", str, "")
        kind = _KINDS.get(name)
        if kind is None or kind in chosen:
            raise invalid(node.at("type"), f"{', '.join(_KINDS)}, each once; not {name!r}")
        if path and not os.path.isabs(path):
            raise invalid(node.at("path"), f"an absolute path, not {path!r}")
        if path and kind is NamespaceType.MNT:
            raise unsupported(node.at("path"), "a root is built in a mount namespace that is new")
        chosen[kind] = path or Choice.NEW
    if NamespaceType.MNT not in chosen:
        raise unsupported(linux.at("namespaces"), "without a new mount namespace there is no root")
    fields: dict[str, Any] = {"namespaces": chosen, "time_offsets": _read_offsets(linux)}
    if fields["time_offsets"].parts and chosen.get(NamespaceType.TIME) is not Choice.NEW:
        raise invalid(linux.at("timeOffsets"), "they take a time namespace that is new")
    if chosen.get(NamespaceType.USER) is Choice.NEW:
        fields["id_map"] = _read_new_map(linux)
    elif linux.members.get("uidMappings") or linux.members.get("gidMappings"):
        raise invalid(linux.at("uidMappings"), "it takes a user namespace that is new")
    return fields


def _read_offsets(linux: Node) -> TimeOffsets:
    """Read how far the clocks of a new time namespace are off."""
    node = linux.child("timeOffsets")
    offsets = {clock: _read_offset(node.child(clock)) for clock in ("monotonic", "boottime")}
    with named(node.path):
        return TimeOffsets(**offsets)


def _read_offset(clock: Node) -> float:
    seconds, nanoseconds = clock.get("secs", int, 0), clock.get("nanosecs", int, 0)
    if not 0 <= nanoseconds < 10**9:
        raise invalid(clock.at("nanosecs"), f"less than a second, not {nanoseconds}")
    if abs(seconds) >= MAX_OFFSET:
        raise invalid(clock.at("secs"), f"up to {MAX_OFFSET}, not {seconds}")
    return (seconds * 10**9 + nanoseconds) / 10**9 if nanoseconds else seconds


def _read_new_map(linux: Node) -> IDMap:
    lines = tuple(_read_lines(linux, name) for name in ("uidMappings", "gidMappings"))
    return IDMap.root() if lines == _alone(IDMap.root()) else read_map(linux)


def read_map(node: Node) -> IDMap:
    """Read the two maps of ids: of a new user namespace, or of a mount."""
    uids, gids = (_read_lines(node, name) for name in ("uidMappings", "gidMappings"))
    with named(node.at("uidMappings")):
        if not uids:
            raise ValueError("a new user namespace takes ranges")
        return IDMap.ranges(uids, gids, uid=_first(uids), gid=_first(gids))


def _first(lines: tuple[IDMapLine, ...]) -> int:
    """Return the lowest id inside: 0, where root is there."""
    return min((line.inside for line in lines), default=0)


def _read_lines(linux: Node, name: str) -> tuple[IDMapLine, ...]:
    return tuple(
        IDMapLine(node.need("containerID", int), node.need("hostID", int), node.need("size", int))
        for node in linux.nodes(name)
    )
