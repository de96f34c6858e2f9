"""From which memory nodes a container has its memory: config-linux.md, "Memory policy"."""

from typing import Any

from nsbox.cgroup.formats import list_text, number_list
from nsbox.memory_policy import FLAGS, MODES, MemoryPolicy
from nsbox.oci.document import Node, invalid, named

_MODES = {f"MPOL_{mode.upper()}": mode for mode in MODES}
_FLAGS = {f"MPOL_F_{flag.upper()}": flag for flag in FLAGS}


def write(policy: MemoryPolicy) -> dict[str, Any]:
    """Write ``memoryPolicy``."""
    written: dict[str, Any] = {"mode": f"MPOL_{policy.mode.upper()}"}
    if policy.nodes:
        written["nodes"] = list_text(policy.nodes)
    if policy.flags:
        written["flags"] = [f"MPOL_F_{flag.upper()}" for flag in sorted(policy.flags)]
    return written


def read(linux: Node) -> MemoryPolicy | None:
    """Read it; None where there is none."""
    node = linux.child("memoryPolicy")
    if not node.members:
        return None
    mode = node.need("mode", str)
    if mode not in _MODES:
        raise invalid(node.at("mode"), f"{', '.join(_MODES)}; not {mode!r}")
    for flag in node.texts("flags"):
        if flag not in _FLAGS:
            raise invalid(node.at("flags"), f"{', '.join(_FLAGS)}; not {flag!r}")
    text = node.get("nodes", str, "").replace(" ", "")
    with named(node.at("nodes")):
        nodes = number_list(text) if text else frozenset[int]()
    with named(node.path):
        flags = frozenset(_FLAGS[flag] for flag in node.texts("flags"))
        return MemoryPolicy(_MODES[mode], nodes=nodes, flags=flags)
