"""Limits of a process on itself. See getrlimit(2)."""

import resource
from collections.abc import Iterator, Mapping
from typing import Any

from nsbox._native.operations import Operation
from nsbox.frozen import FrozenMap
from nsbox.plan import Step

INFINITY = (1 << 64) - 1

NUMBERS = {
    name.removeprefix("RLIMIT_").lower(): value
    for name, value in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
}
"""By the names of getrlimit(2) without their prefix: ``nofile``, ``nproc``, ``core`` …"""

Limits = FrozenMap[str, tuple[int, int]]


def read_limits(value: Mapping[str, Any]) -> Limits:
    """Read limits: of each name one number, or (soft, hard); -1 is no limit.

    Raises `ValueError`, naming the field, for what is no limit.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"rlimits: a mapping of names to limits, not {value!r}")
    return FrozenMap({name: _pair(name, limit) for name, limit in value.items()})


def _pair(name: str, limit: Any) -> tuple[int, int]:
    if name not in NUMBERS:
        raise ValueError(f"rlimits: {', '.join(sorted(NUMBERS))}; not {name!r}")
    pair = limit if isinstance(limit, tuple) else (limit, limit)
    if len(pair) != 2 or not all(type(one) is int and -1 <= one <= INFINITY for one in pair):
        raise ValueError(f"rlimits: {name}: a number, or (soft, hard), not {limit!r}")
    soft, hard = (INFINITY if one == -1 else one for one in pair)
    if soft > hard:
        raise ValueError(f"rlimits: {name}: soft is above hard in {limit!r}")
    return soft, hard


def limit_steps(limits: Limits) -> Iterator[Step]:
    """Lower to prlimit(2)."""
    for name, (soft, hard) in limits.items():
        yield Step(Operation.PRLIMIT, (NUMBERS[name], soft, hard))
