"""The rdma controller, the same on both versions: cgroup-v2.rst, "RDMA"; cgroup-v1/rdma.rst."""

from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, told
from nsbox.cgroup.resources import RDMAMax, Resources
from nsbox.frozen import FrozenMap

NAMES = {1: "rdma", 2: "rdma"}
FIELDS = ("rdma_max",)
COUNTED = dict.fromkeys((1, 2), ("rdma.current",))


@attrs.frozen(kw_only=True)
class RDMADeviceStats:
    """Handles and objects in use on one RDMA device."""

    hca_handle: int = 0
    hca_object: int = 0


@attrs.frozen(kw_only=True)
class RDMAStats:
    """`RDMADeviceStats` by device."""

    devices: FrozenMap[str, RDMADeviceStats] = FrozenMap()


_COUNTS = tuple(field.name for field in attrs.fields(RDMADeviceStats))


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the one file, a write for each device."""
    writes = []
    for device, limits in (wish.rdma_max or {}).items():
        amounts = attrs.asdict(limits).items()
        text = "".join(f" {key}={value}" for key, value in amounts if value is not None)
        if text:
            writes.append(Write("rdma.max", device + text, "rdma_max"))
    return writes


v1 = v2


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    found = told(read, "rdma.max", lambda text: formats.nested(text, _COUNTS))
    limits = None if found is None else {name: RDMAMax(**one) for name, one in found.items()}
    return {"rdma_max": limits}


read_v1 = read_v2


def stats_v2(read: Read) -> RDMAStats | None:
    """Read ``rdma.current``."""
    found = told(read, "rdma.current", lambda text: formats.nested(text, _COUNTS))
    if found is None:
        return None
    devices = {name: RDMADeviceStats(**one) for name, one in found.items()}  # type: ignore[arg-type]
    return RDMAStats(devices=FrozenMap(devices))


stats_v1 = stats_v2
