"""From which memory nodes a box has its memory. See set_mempolicy(2), numa(7)."""

from collections.abc import Iterable, Sized
from typing import Any

import attrs

from nsbox._native.operations import Operation
from nsbox.cgroup import amounts
from nsbox.plan import Step

MODES = {
    "default": 0,
    "preferred": 1,
    "bind": 2,
    "interleave": 3,
    "local": 4,
    "preferred_many": 5,
    "weighted_interleave": 6,
}
"""Policies by their names without MPOL_."""

FLAGS = {"static_nodes": 1 << 15, "relative_nodes": 1 << 14, "numa_balancing": 1 << 13}
"""Flags by their names without MPOL_F_."""

_WITHOUT_NODES = ("default", "local")
_MOST_NODES = 1 << 10  # CONFIG_NODES_SHIFT is not above 10
_WORD = 8  # bytes: the kernel reads a mask in whole words


def _mode(_: Any, attribute: "attrs.Attribute[str]", value: Any) -> None:
    if not isinstance(value, str) or value not in MODES:
        raise ValueError(f"{attribute.name}: {', '.join(MODES)}; not {value!r}")


def _nodes(value: Iterable[int] | str) -> frozenset[int]:
    if isinstance(value, Sized) and not len(value):
        return frozenset()
    found = amounts.numbers(value, "nodes")
    if found is None or not all(0 <= node < _MOST_NODES for node in found):
        raise ValueError(f"nodes: numbers from 0 to {_MOST_NODES - 1}, not {value!r}")
    return found


def _flags(value: Iterable[str]) -> frozenset[str]:
    listed = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if isinstance(value, str) or not all(one in FLAGS for one in listed):
        raise ValueError(f"flags: of {', '.join(FLAGS)}, in a set; not {value!r}")
    return frozenset(listed)


@attrs.frozen
class MemoryPolicy:
    """From which memory nodes a box has its memory, on a machine that has several.

    - `mode`: ``"default"``, ``"bind"``, ``"interleave"``, ``"weighted_interleave"`` (from Linux 6.9
      on), ``"preferred"``, ``"preferred_many"`` (5.15) or ``"local"``, see set_mempolicy(2).
    - `nodes`: their numbers, or as text: ``"0-3,7"``. "default" and "local" take none, "preferred"
      may have none, and the others have one at least.
    - `flags`: ``"static_nodes"``, ``"relative_nodes"``, ``"numa_balancing"``.

    `Resources.cpuset_mems` is the limit, which holds whatever the policy says. Raises `ValueError`,
    naming the field, for what no kernel takes.
    """

    mode: str = attrs.field(validator=_mode)
    nodes: frozenset[int] = attrs.field(default=frozenset(), converter=_nodes, kw_only=True)
    flags: frozenset[str] = attrs.field(default=frozenset(), converter=_flags, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse nodes where there can be none, and the lack of them."""
        if self.nodes and self.mode in _WITHOUT_NODES:
            raise ValueError(f"nodes: {self.mode!r} takes none, not {sorted(self.nodes)}")
        if not self.nodes and self.mode not in (*_WITHOUT_NODES, "preferred"):
            raise ValueError(f"nodes: {self.mode!r} takes at least one")
        if self.flags >= {"static_nodes", "relative_nodes"} or (self.flags and not self.nodes):
            raise ValueError(f"flags: not {sorted(self.flags)} with these nodes")

    def step(self) -> Step:
        """Lower it: for the process that makes the call, and all that it starts."""
        number = MODES[self.mode] | sum(FLAGS[flag] for flag in self.flags)
        mask = sum(1 << node for node in self.nodes)
        words = -(-mask.bit_length() // (8 * _WORD))
        return Step(Operation.SET_MEMPOLICY, (number, mask.to_bytes(words * _WORD, "little")))
