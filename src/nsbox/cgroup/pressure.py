"""Pressure stall information: Documentation/accounting/psi.rst; cgroup-v2.rst, "*.pressure"."""

import functools
import os
import re
from collections.abc import Callable
from typing import Literal

import attrs

from nsbox.procfs._lines import rows

Resource = Literal["cpu", "memory", "io", "irq"]

_AVERAGE = r"([0-9]+\.[0-9]{2})"
_AVERAGES = rf"avg10={_AVERAGE} avg60={_AVERAGE} avg300={_AVERAGE} total=([0-9]+)"
_LINE = re.compile(rf"(some|full) {_AVERAGES}", re.ASCII)


@attrs.frozen(kw_only=True)
class Stall:
    """How much of the time tasks waited: percent of the last 10, 60 and 300 s; all of it in µs."""

    avg10: float
    avg60: float
    avg300: float
    total: int


@attrs.frozen(kw_only=True)
class PressureStats:
    """Pressure on one resource: `some` tasks waited, or all of them in `full`; None: not told."""

    some: Stall | None = None
    full: Stall | None = None


@attrs.frozen(kw_only=True)
class Pressure:
    """Pressure by resource; None where the kernel does not tell."""

    cpu: PressureStats | None = None
    memory: PressureStats | None = None
    io: PressureStats | None = None
    irq: PressureStats | None = None


_BOTH = re.compile(rf"some {_AVERAGES}\nfull {_AVERAGES}\n", re.ASCII)
"""A whole file at once: there are several for each group, and they are read often."""

RESOURCES = tuple(field.name for field in attrs.fields(Pressure))
FILES = tuple(f"{resource}.pressure" for resource in RESOURCES)


def parse(text: str) -> PressureStats:
    """Read a ``*.pressure`` file."""
    both = _BOTH.fullmatch(text)
    if both is not None:
        told = both.groups()
        return PressureStats(some=_stall(*told[:4]), full=_stall(*told[4:]))
    found: dict[str, Stall] = {}

    def add(line: str) -> None:
        told = _LINE.fullmatch(line)
        expected = "'some' or 'full', three averages and a total"
        if told is None or told[1] in found:
            raise ValueError(f"expected {expected}, each once")
        kind, avg10, avg60, avg300, total = told.groups()
        found[kind] = _stall(avg10, avg60, avg300, total)

    rows("pressure", text, add)
    return PressureStats(**found)


@functools.lru_cache(maxsize=64)  # most groups wait for nothing, and say so in the same words
def _stall(avg10: str, avg60: str, avg300: str, total: str) -> Stall:
    return Stall(avg10=float(avg10), avg60=float(avg60), avg300=float(avg300), total=int(total))


def read_all(read: Callable[[str], str | None]) -> Pressure | None:
    """Read the pressure of a group; None where none of its files is there."""
    texts = zip(RESOURCES, map(read, FILES), strict=True)
    found = {resource: parse(text) for resource, text in texts if text is not None}
    return Pressure(**found) if found else None


def trigger(folder: str, resource: str, kind: str, stall: float, window: float) -> int:
    """Open a descriptor that polls POLLPRI when tasks waited `stall` of `window` seconds.

    Raises `OSError` EINVAL for a window outside of 0.5 to 10 s; without CAP_SYS_RESOURCE it must
    be a multiple of 2 s.
    """
    descriptor = os.open(f"{folder}/{resource}.pressure", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        text = f"{kind} {round(stall * 1e6)} {round(window * 1e6)}\0"
        os.write(descriptor, text.encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
