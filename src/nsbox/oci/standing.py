"""How a box stands beside others: ``oomScoreAdj``, ``scheduler``, ``ioPriority`` of config.md."""

from typing import Any

from nsbox.oci.document import Node, invalid, unsupported
from nsbox.scheduling import IO_CLASSES, POLICIES, Levelled
from nsbox.spec import BoxSpec

_IO_NAMES = {"realtime": "RT", "best-effort": "BE", "idle": "IDLE"}


def write(spec: BoxSpec) -> dict[str, Any]:
    """Write the members of ``process`` that say it."""
    written: dict[str, Any] = {}
    if spec.oom_score_adj is not None:
        written["oomScoreAdj"] = spec.oom_score_adj
    if spec.io_priority is not None:
        name, level = _parts(spec.io_priority)
        written["ioPriority"] = {"class": f"IOPRIO_CLASS_{_IO_NAMES[name]}", "priority": level}
    if spec.scheduler is None and spec.nice is not None:
        raise unsupported("nice", "a bundle says it beside a scheduler alone")
    if spec.scheduler is not None:
        name, priority = _parts(spec.scheduler)
        found: dict[str, Any] = {"policy": f"SCHED_{name.upper()}", "priority": priority}
        written["scheduler"] = found if spec.nice is None else {**found, "nice": spec.nice}
    return written


def read(process: Node) -> dict[str, Any]:
    """Read the fields of a spec that they are."""
    fields: dict[str, Any] = {}
    if process.has("oomScoreAdj"):
        fields["oom_score_adj"] = process.need("oomScoreAdj", int)
    if process.has("ioPriority"):
        node = process.child("ioPriority")
        names = {f"IOPRIO_CLASS_{short}": name for name, short in _IO_NAMES.items()}
        name = _name(node, "class", names)
        fields["io_priority"] = _levelled(name, node.get("priority", int, 0), IO_CLASSES)
    if process.has("scheduler"):
        node = process.child("scheduler")
        node.refuse(
            dict.fromkeys(
                ("flags", "runtime", "deadline", "period"), "SCHED_DEADLINE is not set up"
            )
        )
        names = {f"SCHED_{name.upper()}": name for name in POLICIES}
        name = _name(node, "policy", names)
        fields["scheduler"] = _levelled(name, node.get("priority", int, 0), POLICIES)
        if node.has("nice"):
            fields["nice"] = node.need("nice", int)
    return fields


def _name(node: Node, member: str, names: dict[str, str]) -> str:
    given = node.need(member, str)
    if given not in names:
        raise invalid(node.at(member), f"{', '.join(names)}; not {given!r}")
    return names[given]


def _parts(value: Levelled) -> tuple[str, int]:
    return value if isinstance(value, tuple) else (value, 0)


def _levelled(name: str, level: int, classes: dict[str, tuple[int, range]]) -> Levelled:
    return name if level == 0 and len(classes[name][1]) == 1 else (name, level)
