"""The io controller, on v1 blkio: cgroup-v2.rst, "IO"; cgroup-v1/blkio-controller.rst."""

from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, refuse, told
from nsbox.cgroup.resources import IOMax, Resources
from nsbox.errors import UnsupportedError
from nsbox.frozen import FrozenMap

NAMES = {1: "blkio", 2: "io"}
FIELDS = ("io_weight", "io_max", "io_latency")
COUNTED = {
    1: (
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes",
        "blkio.throttle.io_serviced_recursive",
        "blkio.throttle.io_serviced",
    ),
    2: ("io.stat",),
}

_V1_FILES = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}
_BFQ_MAX = 1000


@attrs.frozen(kw_only=True)
class DeviceStats:
    """What was read, written and discarded on one block device: bytes and operations."""

    rbytes: int = 0
    wbytes: int = 0
    rios: int = 0
    wios: int = 0
    dbytes: int = 0
    dios: int = 0


@attrs.frozen(kw_only=True)
class IOStats:
    """`DeviceStats` by block device ("8:0"), and `total`, their sum."""

    devices: FrozenMap[str, DeviceStats] = FrozenMap()

    @property
    def total(self) -> DeviceStats:
        """All devices together."""
        return DeviceStats(
            **{
                field: sum(getattr(one, field) for one in self.devices.values())
                for field in _COUNTS
            }
        )


_COUNTS = tuple(field.name for field in attrs.fields(DeviceStats))


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v2: each device is a write of its own."""
    writes = []
    if wish.io_weight is not None:
        writes.append(Write("io.weight", f"default {wish.io_weight}", "io_weight"))
    for device, limits in (wish.io_max or {}).items():
        amounts = attrs.asdict(limits).items()
        text = "".join(f" {key}={value}" for key, value in amounts if value is not None)
        if text:
            writes.append(Write("io.max", device + text, "io_max"))
    for device, target in (wish.io_latency or {}).items():
        writes.append(Write("io.latency", f"{device} target={target}", "io_latency"))
    return writes


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to the files of v1, one for each direction and unit; 0 lifts a limit."""
    refuse(1, {"io_latency": wish.io_latency})
    writes = []
    if wish.io_weight is not None:
        if wish.io_weight > _BFQ_MAX:
            raise UnsupportedError(f"io_weight: on cgroup v1 up to {_BFQ_MAX}, by BFQ")
        writes.append(Write("blkio.bfq.weight", str(wish.io_weight), "io_weight"))
    for device, limits in (wish.io_max or {}).items():
        for key, file in _V1_FILES.items():
            value = getattr(limits, key)
            if value is not None:
                text = f"{device} {0 if value == 'max' else value}"
                writes.append(Write(file, text, "io_max"))
    return writes


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`."""
    limits = told(read, "io.max", lambda text: formats.nested(text, _V1_FILES))
    latency = told(read, "io.latency", lambda text: formats.nested(text, ("target",)))
    return {
        "io_weight": told(read, "io.weight", _weight),
        "io_max": None if limits is None else {d: IOMax(**v) for d, v in _devices(limits).items()},
        "io_latency": None if latency is None else {d: v["target"] for d, v in latency.items()},
    }


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the fields of `Resources`; v1 does not list what has no limit."""
    limits: dict[str, dict[str, int]] = {}
    for key, file in _V1_FILES.items():
        for device, value in (told(read, file, formats.flat) or {}).items():
            limits.setdefault(formats.device(device), {})[key] = value
    there = read(_V1_FILES["rbps"]) is not None
    maxima = {
        device: IOMax(**{key: one.get(key, "max") for key in _V1_FILES})
        for device, one in limits.items()
    }
    return {
        "io_weight": told(read, "blkio.bfq.weight", _weight),
        "io_max": maxima if there else None,
    }


def _weight(text: str) -> int:
    """Read the default of ``io.weight``: its first line, "default 100" or the number alone."""
    return formats.single(text.partition("\n")[0].removeprefix("default "))


def _devices(found: dict[str, Any]) -> dict[str, Any]:
    return {formats.device(name): values for name, values in found.items()}


def stats_v2(read: Read) -> IOStats | None:
    """Read ``io.stat``."""
    stat = told(read, "io.stat", lambda text: _devices(formats.nested(text, _COUNTS)))
    if stat is None:
        return None
    return IOStats(devices=FrozenMap({d: DeviceStats(**v) for d, v in stat.items() if v}))


def stats_v1(read: Read) -> IOStats | None:
    """Read ``blkio.throttle.*``, which count with or without a limit, groups below included."""
    sums = {}
    for unit, file in (("bytes", "io_service_bytes"), ("ios", "io_serviced")):
        found = None
        for suffix in ("_recursive", ""):
            if found is None:
                found = told(read, f"blkio.throttle.{file}{suffix}", formats.per_device)
        if found is None:
            return None
        sums[unit] = found
    devices = {}
    for device in sums["bytes"] | sums["ios"]:
        counts = {
            letter + unit: sums[unit].get(device, {}).get(operation, 0)
            for unit in sums
            for letter, operation in (("r", "Read"), ("w", "Write"), ("d", "Discard"))
        }
        devices[device] = DeviceStats(**counts)
    return IOStats(devices=FrozenMap(devices))
