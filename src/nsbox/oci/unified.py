"""Files of cgroup v2 by name, and what no other member says: config-linux.md, "Unified"."""

from collections.abc import Callable
from typing import Any

from nsbox.cgroup import Resources
from nsbox.oci.document import Node, invalid, unsupported

WRITTEN = {
    "cpu_uclamp_max", "cpu_uclamp_min", "cpuset_cpus_partition", "memory_high", "memory_min",
    "memory_oom_group",
}  # fmt: skip
"""The fields that a bundle says in this way alone."""


def _text(text: str) -> Any:
    return text


def _number(text: str) -> Any:
    return text if text == "max" else int(text)


def _percentage(text: str) -> Any:
    return text if text == "max" else float(text)


def _yes(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _quota(text: str) -> Any:
    quota, _, period = text.partition(" ")
    return quota if quota == "max" else (int(quota), int(period or 100_000))


def _default(text: str) -> int:
    return int(text.removeprefix("default "))


_FILES: dict[str, Callable[[str], Any]] = {
    "cpu.weight": _number,
    "cpu.max": _quota,
    "cpu.max.burst": _number,
    "cpu.idle": _yes,
    "cpu.uclamp.max": _percentage,
    "cpu.uclamp.min": _percentage,
    "cpuset.cpus": _text,
    "cpuset.cpus.partition": _text,
    "cpuset.mems": _text,
    "io.weight": _default,
    "memory.high": _number,
    "memory.low": _number,
    "memory.max": _number,
    "memory.min": _number,
    "memory.oom.group": _yes,
    "memory.swap.max": _number,
    "pids.max": _number,
}


def write(wish: Resources) -> dict[str, str]:
    """Write the fields that have no other word."""
    return {_file(name): _written(wish.given[name]) for name in sorted(WRITTEN & set(wish.given))}


def _file(field: str) -> str:
    return field.replace("_", ".")


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def read(resources: Node) -> dict[str, Any]:
    """Read the files as fields of `Resources`; they hold over what other members say."""
    node = resources.child("unified")
    fields = {}
    for name in node.members:
        text = node.need(name, str).strip()
        if name not in _FILES:
            raise unsupported(node.at(name), "no field of Resources is this file")
        try:
            fields[name.replace(".", "_")] = _FILES[name](text)
        except (ValueError, KeyError):
            raise invalid(node.at(name), f"what the kernel reads there, not {text!r}") from None
    return fields
