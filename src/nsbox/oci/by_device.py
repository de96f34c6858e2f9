"""Limits by device: config-linux.md, "Block IO", "Network", "RDMA"."""

from typing import Any

from nsbox.cgroup import IOMax, RDMAMax, Resources
from nsbox.cgroup.formats import Limit
from nsbox.oci.document import Node, named, unsupported

WRITTEN = {"io_max", "rdma_max", "net_cls_classid", "net_prio_ifpriomap"}

_THROTTLES = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
_RDMA = {"hcaHandles": "hca_handle", "hcaObjects": "hca_object"}


def write_throttles(wish: Resources) -> dict[str, Any]:
    """Write the members of ``blockIO`` that are lists of devices."""
    written: dict[str, Any] = {}
    for device, limits in (wish.io_max or {}).items():
        if device.startswith("/"):
            raise unsupported("resources.io_max", f"a bundle has numbers for {device}")
        major, minor = map(int, device.split(":"))
        for member, field in _THROTTLES.items():
            rate: Limit | None = getattr(limits, field)
            if rate == "max":
                raise unsupported("resources.io_max", "a bundle has no 'max' here")
            if rate is not None:
                one = {"major": major, "minor": minor, "rate": rate}
                written.setdefault(member, []).append(one)
    return written


def write(wish: Resources) -> dict[str, Any]:
    """Write ``rdma`` and ``network``."""
    written: dict[str, Any] = {}
    for device, limits in (wish.rdma_max or {}).items():
        if "max" in (limits.hca_handle, limits.hca_object):
            raise unsupported("resources.rdma_max", "a bundle has no 'max' here")
        said = {member: getattr(limits, field) for member, field in _RDMA.items()}
        said = {member: number for member, number in said.items() if number is not None}
        written.setdefault("rdma", {})[device] = said
    network: dict[str, Any] = {}
    if wish.net_cls_classid is not None:
        network["classID"] = wish.net_cls_classid
    if wish.net_prio_ifpriomap:
        network["priorities"] = [
            {"name": name, "priority": number} for name, number in wish.net_prio_ifpriomap.items()
        ]
    return {**written, "network": network} if network else written


def read(resources: Node) -> dict[str, Any]:
    """Read the fields of `Resources` that are these limits."""
    network = resources.child("network")
    priorities = {
        one.need("name", str): one.need("priority", int) for one in network.nodes("priorities")
    }
    return {
        "io_max": _read_throttles(resources.child("blockIO")) or None,
        "rdma_max": _read_rdma(resources.child("rdma")) or None,
        "net_cls_classid": network.get("classID", int, 0) or None,
        "net_prio_ifpriomap": priorities or None,
    }


def _read_throttles(node: Node) -> dict[str, IOMax]:
    found: dict[str, dict[str, Any]] = {}
    for member, field in _THROTTLES.items():
        for one in node.nodes(member):
            device = f"{one.need('major', int)}:{one.need('minor', int)}"
            found.setdefault(device, {})[field] = one.need("rate", int)
            with named(one.path):
                IOMax(**{field: found[device][field]})
    return {device: IOMax(**limits) for device, limits in found.items()}


def _read_rdma(node: Node) -> dict[str, RDMAMax]:
    found = {}
    for device in node.members:
        one = node.child(device)
        given = {field: one.need(name, int) for name, field in _RDMA.items() if one.has(name)}
        with named(one.path):
            found[device] = RDMAMax(**given)
    return found
