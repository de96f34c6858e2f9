"""Limits: config-linux.md, "Control groups". Its words are those of cgroup v1."""

from typing import Any

from nsbox.cgroup import DeviceRule, Resources
from nsbox.cgroup.controllers.cpu import quota_and_period
from nsbox.cgroup.formats import Limit, list_text
from nsbox.oci import by_device, unified
from nsbox.oci.document import Node, invalid, named, unsupported

_WEIGHT, _SHARES = 100, 1024
"""The same share in the words of v2 and of v1."""

_DENY_ALL = {"allow": False, "access": "rwm"}
_ALLOW_ALL = {"allow": True, "access": "rwm"}

_RUNTIME_DEVICES = tuple(
    DeviceRule.parse(f"c {numbers} rwm")
    for numbers in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:*")
)
"""What every runtime allows beside what a bundle lists: its own /dev, and terminals."""

_WRITTEN = {
    "cpu_weight", "cpu_max", "cpu_max_burst", "cpu_idle", "cpuset_cpus", "cpuset_mems",
    "memory_low", "memory_max", "memory_swap_max", "io_weight", "pids_max", "hugetlb_max",
    "devices",
}  # fmt: skip

_NO_SUCH = "no field of Resources says it"
_REFUSED = {
    "memory": ("kernel", "kernelTCP", "swappiness", "disableOOMKiller"),
    "cpu": ("realtimeRuntime", "realtimePeriod"),
    "blockIO": ("leafWeight", "weightDevice"),
}  # fmt: skip


def write(wish: Resources, *, reaches_devices: bool) -> dict[str, Any]:
    """Write ``resources``; `reaches_devices`: whether devices work on one of the mounts."""
    for field in wish.given:
        if field not in _WRITTEN | unified.WRITTEN | by_device.WRITTEN:
            raise unsupported(f"resources.{field}", "a bundle cannot say it")
    written: dict[str, Any] = {"devices": _devices(wish, reaches_devices=reaches_devices)}
    parts = {"memory": _memory(wish), "cpu": _cpu(wish)}
    written |= {name: part for name, part in parts.items() if part}
    if wish.pids_max is not None:
        written["pids"] = {"limit": _number(wish.pids_max, "pids_max")}
    if wish.io_weight is not None:
        if not 10 <= wish.io_weight <= 1000:
            raise unsupported("resources.io_weight", "a bundle has weights from 10 to 1000")
        written["blockIO"] = {"weight": wish.io_weight}
    if throttles := by_device.write_throttles(wish):
        written["blockIO"] = {**written.get("blockIO", {}), **throttles}
    if wish.hugetlb_max:
        written["hugepageLimits"] = [
            {"pageSize": size, "limit": _finite(limit, "hugetlb_max")}
            for size, limit in wish.hugetlb_max.items()
        ]
    written |= by_device.write(wish)
    files = unified.write(wish)
    return {**written, "unified": files} if files else written


def _number(limit: Limit, field: str) -> int:
    if limit == 0:
        raise unsupported(f"resources.{field}", "0 is no limit in a bundle")
    return -1 if limit == "max" else int(limit)


def _finite(limit: Limit, field: str) -> int:
    if limit == "max":
        raise unsupported(f"resources.{field}", "a bundle has no 'max' here")
    return int(limit)


def _memory(wish: Resources) -> dict[str, int]:
    written = {}
    if wish.memory_max is not None:
        written["limit"] = _number(wish.memory_max, "memory_max")
    if wish.memory_low is not None:
        written["reservation"] = _finite(wish.memory_low, "memory_low")
    if wish.memory_swap_max == "max":
        written["swap"] = -1
    elif wish.memory_swap_max is not None:
        if wish.memory_max is None or wish.memory_max == "max":
            raise unsupported("resources.memory_swap_max", "a bundle adds it to memory_max")
        written["swap"] = _number(wish.memory_max, "memory_max") + int(wish.memory_swap_max)
    return written


def _cpu(wish: Resources) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if wish.cpu_weight is not None:
        written["shares"] = max(2, round(wish.cpu_weight * _SHARES / _WEIGHT))
    if wish.cpu_max is not None:
        quota, period = quota_and_period(wish.cpu_max)
        written |= {"quota": -1 if quota is None else quota, "period": period}
    if wish.cpu_max_burst is not None:
        written["burst"] = wish.cpu_max_burst
    if wish.cpu_idle is not None:
        written["idle"] = int(wish.cpu_idle)
    for name, numbers in (("cpus", wish.cpuset_cpus), ("mems", wish.cpuset_mems)):
        if numbers is not None:
            written[name] = list_text(numbers)
    return written


def _devices(wish: Resources, *, reaches_devices: bool) -> list[dict[str, Any]]:
    """Write the list of devices: all denied first, as no mount of a box's lets one work."""
    if wish.devices is None:
        return [_ALLOW_ALL if reaches_devices else _DENY_ALL]
    return [_DENY_ALL, *(_rule(rule) for rule in wish.devices)]


def _rule(rule: DeviceRule) -> dict[str, Any]:
    numbers = {"major": rule.major, "minor": rule.minor}
    written: dict[str, Any] = {"allow": True, "type": rule.type, "access": rule.access}
    return written | {name: number for name, number in numbers.items() if number is not None}


def read(linux: Node, *, reaches_devices: bool) -> Resources:
    """Read the limits; `reaches_devices` is as for `write`."""
    node = linux.child("resources")
    for name, refused in _REFUSED.items():
        part = node.child(name)
        part.refuse(dict.fromkeys(refused, _NO_SUCH))
        if name == "memory" and part.has("swappiness"):
            raise unsupported(part.at("swappiness"), _NO_SUCH)
    fields = {
        **_read_memory(node.child("memory")),
        **_read_cpu(node.child("cpu")),
        "pids_max": _limit(node.child("pids"), "limit"),
        "io_weight": node.child("blockIO").get("weight", int, 0) or None,
        "hugetlb_max": {
            one.need("pageSize", str): one.need("limit", int)
            for one in node.nodes("hugepageLimits")
        }
        or None,
        "devices": _read_devices(node, reaches_devices=reaches_devices),
        **by_device.read(node),
        **unified.read(node),
    }
    with named(node.path):
        return Resources(**fields)


def _limit(node: Node, name: str) -> Limit | None:
    """Read a limit: below 0 there is none; 0 is what tools write that set none."""
    value = node.get(name, int, 0)
    return "max" if value < 0 else value or None


def _read_memory(memory: Node) -> dict[str, Any]:
    limit, total = _limit(memory, "limit"), _limit(memory, "swap")
    swap: Limit | None = "max" if total == "max" else None
    if isinstance(total, int):
        if not isinstance(limit, int):
            raise unsupported(memory.at("swap"), "it takes a limit of memory, which it includes")
        if total < limit:
            raise invalid(memory.at("swap"), f"memory and swap, at least {limit}; not {total}")
        swap = total - limit
    low = memory.get("reservation", int, 0)
    return {"memory_max": limit, "memory_swap_max": swap, "memory_low": low if low > 0 else None}


def _read_cpu(cpu: Node) -> dict[str, Any]:
    shares, quota = cpu.get("shares", int, 0), cpu.get("quota", int, 0)
    weight = min(max(round(shares * _WEIGHT / _SHARES), 1), 10_000)
    limited = (quota, cpu.get("period", int, 0) or 100_000) if quota > 0 else None
    idle = cpu.get("idle", int, 0)
    return {
        "cpu_weight": weight if shares else None,
        "cpu_max": "max" if quota < 0 else limited,
        "cpu_max_burst": cpu.get("burst", int, 0) if cpu.has("burst") else None,
        "cpu_idle": bool(idle) if cpu.has("idle") else None,
        "cpuset_cpus": cpu.get("cpus", str, "") or None,
        "cpuset_mems": cpu.get("mems", str, "") or None,
    }


def _read_devices(node: Node, *, reaches_devices: bool) -> tuple[DeviceRule, ...] | None:
    """Read the list of devices; None where nothing but all is denied, and no mount has any."""
    rules: tuple[DeviceRule, ...] = ()
    denied = False
    for one in node.nodes("devices"):
        rule, allow = _read_rule(one), one.need("allow", bool)
        everything = rule.type == "a" and rule.access == "rwm"
        if not allow and not everything:
            raise unsupported(one.at("allow"), "only all devices are denied, and then some allowed")
        if everything:
            denied, rules = not allow, ()
        else:
            rules += (rule,)
    if not denied or (not rules and not reaches_devices):
        return None
    return rules + tuple(rule for rule in _RUNTIME_DEVICES if rule not in rules)


def _read_rule(node: Node) -> DeviceRule:
    kind: Any = node.get("type", str, "a")
    numbers = [node.get(name, int, -1) for name in ("major", "minor")]
    major, minor = (None if number == -1 else number for number in numbers)
    with named(node.path):
        return DeviceRule(
            "c" if kind == "u" else kind, major, minor, node.get("access", str, "rwm")
        )
