"""What a group may use of its host, as a value; `controllers` lowers it to files to write."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from nsbox.cgroup import amounts
from nsbox.cgroup.amounts import CPUs, Device, Partition, Percent
from nsbox.cgroup.formats import Limit
from nsbox.display import Displayed
from nsbox.frozen import FrozenMap

_RULE = re.compile(r"([abc])(?: ([0-9]+|\*):([0-9]+|\*)(?: ([rwm]+))?)?", re.ASCII)


@attrs.frozen
class DeviceRule:
    """Devices that may be used, as a line of v1's ``devices.allow``: "c 1:3 rwm".

    - `type`: ``c`` character, ``b`` block, ``a`` all.
    - `major`, `minor`: device numbers, None for any.
    - `access`: of ``r`` read, ``w`` write, ``m`` mknod.

    See cgroup-v1/devices.rst.
    """

    type: Literal["a", "b", "c"]
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    def __attrs_post_init__(self) -> None:
        """Refuse what is no rule."""
        if self.type not in ("a", "b", "c"):
            raise ValueError(f"type: a, b or c, not {self.type!r}")
        for field, number, bits in (("major", self.major, 12), ("minor", self.minor, 20)):
            if number is not None and (type(number) is not int or not 0 <= number < 1 << bits):
                raise ValueError(f"{field}: a number below {1 << bits}, or None, not {number!r}")
        if not self.access or not set(self.access) <= set("rwm"):
            raise ValueError(f"access: letters of rwm, not {self.access!r}")
        object.__setattr__(self, "access", "".join(c for c in "rwm" if c in self.access))

    @classmethod
    def parse(cls, text: Any) -> "DeviceRule":
        """Read "c 1:3 rwm"; "*" stands for any number."""
        found = _RULE.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise ValueError(f"devices: a rule such as 'c 1:3 rwm', not {text!r}")
        kind: Any
        kind, major, minor, access = found.groups()
        numbers = [None if number in (None, "*") else int(number) for number in (major, minor)]
        return cls(kind, numbers[0], numbers[1], access or "rwm")

    def __str__(self) -> str:
        major, minor = ("*" if n is None else n for n in (self.major, self.minor))
        return f"{self.type} {major}:{minor} {self.access}"


@attrs.frozen(kw_only=True, field_transformer=amounts.named)
class IOMax:
    """Limits of one block device: bytes and operations a second, read and written."""

    rbps: Limit | None = attrs.field(default=None, converter=amounts.size_above_0)
    wbps: Limit | None = attrs.field(default=None, converter=amounts.size_above_0)
    riops: Limit | None = attrs.field(default=None, converter=amounts.operations)
    wiops: Limit | None = attrs.field(default=None, converter=amounts.operations)


@attrs.frozen(kw_only=True, field_transformer=amounts.named)
class RDMAMax:
    """Limits of one RDMA device: handles and objects."""

    hca_handle: Limit | None = attrs.field(default=None, converter=amounts.handles)
    hca_object: Limit | None = attrs.field(default=None, converter=amounts.handles)


def _io_max(value: Mapping[Device, IOMax] | None, field: str = "") -> FrozenMap[str, IOMax] | None:
    return amounts.mapping(value, field, amounts.device, _instance(IOMax))


def _rdma_max(
    value: Mapping[str, RDMAMax] | None, field: str = ""
) -> FrozenMap[str, RDMAMax] | None:
    return amounts.mapping(value, field, amounts.name, _instance(RDMAMax))


def _instance(kind: type) -> Callable[[Any, str], Any]:
    def check(value: Any, field: str) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"{field}: {kind.__name__} for each device, not {value!r}")
        return value

    return check


def _rules(
    value: Iterable[DeviceRule | str] | None, field: str = ""
) -> tuple[DeviceRule, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{field}: a sequence of rules, not {value!r}")
    return tuple(one if isinstance(one, DeviceRule) else DeviceRule.parse(one) for one in value)


@attrs.frozen(kw_only=True, field_transformer=amounts.named)
class Resources(Displayed):
    """Limits of a group, each under the name of its cgroup v2 file; None leaves a thing as it is.

    Sizes are bytes or text such as ``"64M"``; ``"max"`` lifts a limit. See cgroup-v2.rst, where
    each file is described; fields that only v1 has are described in cgroup-v1/.

    - `cpu_weight`: share of the CPU time against siblings, 1 to 10000; the kernel gives 100.
    - `cpu_max`: CPUs; 0.5 is half the time of one. Or (quota, period) in microseconds.
    - `cpu_max_burst`: microseconds that may be saved up and used beyond the quota.
    - `cpu_idle`: whether its tasks run only when nothing else does (SCHED_IDLE).
    - `cpu_uclamp_min`, `cpu_uclamp_max`: utilization clamps, in percent.
    - `cpuset_cpus`, `cpuset_mems`: the CPUs and memory nodes, as ``{0, 1}`` or ``"0-3,5"``.
    - `cpuset_cpus_partition`: ``member``, ``root`` or ``isolated``; v2 only. What the kernel finds
      invalid is refused with its reason, and read back as ``member``.
    - `memory_min`, `memory_low`: bytes kept from reclaim, hard and as far as possible; v2 only.
    - `memory_high`: bytes above which it is slowed down and reclaimed from; v2 only.
    - `memory_max`: bytes above which the OOM killer comes.
    - `memory_swap_max`: bytes of swap.
    - `memory_oom_group`: whether the OOM killer ends all of it together; v2 only.
    - `io_weight`: share of the I/O against siblings, 1 to 10000 (v1: to 1000, by BFQ).
    - `io_max`: `IOMax` by block device, ``"8:0"`` or ``"/dev/vda"``.
    - `io_latency`: microseconds that an operation may take, by block device; v2 only.
    - `pids_max`: tasks, processes and threads alike.
    - `hugetlb_max`: bytes by page size, as the kernel writes that: ``{"2MB": "64M"}``.
    - `devices`: the devices that may be used, as `DeviceRule` or ``"c 1:3 rwm"``; all else is
      refused. On v2 an eBPF program sees to it, and it is not read back.
    - `rdma_max`: `RDMAMax` by RDMA device.
    - `misc_max`: a number by kind of scalar resource, such as ``sev``.
    - `net_cls_classid`: the class of its packets, for tc(8); v1 only.
    - `net_prio_ifpriomap`: the priority of its packets by network interface; v1 only.

    Raises `ValueError`, naming the field, for what is no such amount.
    """

    cpu_weight: int | None = attrs.field(default=None, converter=amounts.weight)
    cpu_max: CPUs | None = attrs.field(default=None, converter=amounts.cpus)
    cpu_max_burst: int | None = attrs.field(default=None, converter=amounts.microseconds)
    cpu_idle: bool | None = attrs.field(default=None, converter=amounts.boolean)
    cpu_uclamp_min: Percent | None = attrs.field(default=None, converter=amounts.percent)
    cpu_uclamp_max: Percent | None = attrs.field(default=None, converter=amounts.percent)
    cpuset_cpus: frozenset[int] | None = attrs.field(default=None, converter=amounts.numbers)
    cpuset_mems: frozenset[int] | None = attrs.field(default=None, converter=amounts.numbers)
    cpuset_cpus_partition: Partition | None = attrs.field(default=None, converter=amounts.partition)
    memory_min: Limit | None = attrs.field(default=None, converter=amounts.size)
    memory_low: Limit | None = attrs.field(default=None, converter=amounts.size)
    memory_high: Limit | None = attrs.field(default=None, converter=amounts.size)
    memory_max: Limit | None = attrs.field(default=None, converter=amounts.size)
    memory_swap_max: Limit | None = attrs.field(default=None, converter=amounts.size)
    memory_oom_group: bool | None = attrs.field(default=None, converter=amounts.boolean)
    io_weight: int | None = attrs.field(default=None, converter=amounts.weight)
    io_max: FrozenMap[str, IOMax] | None = attrs.field(default=None, converter=_io_max)
    io_latency: FrozenMap[str, int] | None = attrs.field(default=None, converter=amounts.latencies)
    pids_max: Limit | None = attrs.field(default=None, converter=amounts.tasks)
    hugetlb_max: FrozenMap[str, Limit] | None = attrs.field(default=None, converter=amounts.sizes)
    devices: tuple[DeviceRule, ...] | None = attrs.field(default=None, converter=_rules)
    rdma_max: FrozenMap[str, RDMAMax] | None = attrs.field(default=None, converter=_rdma_max)
    misc_max: FrozenMap[str, Limit] | None = attrs.field(default=None, converter=amounts.counts)
    net_cls_classid: int | None = attrs.field(default=None, converter=amounts.word)
    net_prio_ifpriomap: FrozenMap[str, int] | None = attrs.field(
        default=None, converter=amounts.words
    )

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not None, by name."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}

    def resolved(self) -> "Resources":
        """Return the same with block devices by number where they were given by path.

        Raises `OSError` for a path that leads nowhere, `ValueError` for one to no block device.
        """
        changes: dict[str, Any] = {
            field: {_number(name, field): amount for name, amount in value.items()}
            for field in ("io_max", "io_latency")
            if (value := getattr(self, field)) and any(name.startswith("/") for name in value)
        }
        return attrs.evolve(self, **changes) if changes else self

    def __repr__(self) -> str:
        return f"Resources({', '.join(f'{k}={v!r}' for k, v in self.given.items())})"


FIELDS = tuple(field.name for field in attrs.fields(Resources))


def _number(name: str, field: str) -> str:
    if not name.startswith("/"):
        return name
    found = os.stat(name)
    if not stat.S_ISBLK(found.st_mode):
        raise ValueError(f"{field}: {name} is no block device")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
