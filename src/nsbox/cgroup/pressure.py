"""Pressure stall information: Documentation/accounting/psi.rst; cgroup-v2.rst, "*.pressure"."""

import os
from collections.abc import Callable
from typing import Literal

import attrs

from nsbox.cgroup import formats
from nsbox.procfs._lines import number, require, rows, split

Resource = Literal["cpu", "memory", "io", "irq"]


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


RESOURCES = tuple(field.name for field in attrs.fields(Pressure))


def parse(text: str) -> PressureStats:
    """Read a ``*.pressure`` file."""
    found: dict[str, Stall] = {}

    def add(line: str) -> None:
        kind, avg10, avg60, avg300, total = split(line, " ", 5, "a kind and four figures")
        require(kind in ("some", "full") and kind not in found, "'some' or 'full', each once")
        found[kind] = Stall(
            avg10=formats.percentage(_value(avg10, "avg10")),
            avg60=formats.percentage(_value(avg60, "avg60")),
            avg300=formats.percentage(_value(avg300, "avg300")),
            total=number(_value(total, "total"), "microseconds"),
        )

    rows("pressure", text, add)
    return PressureStats(**found)


def read_all(read: Callable[[str], str | None]) -> Pressure | None:
    """Read the pressure of a group; None where none of its files is there."""
    texts = {resource: read(f"{resource}.pressure") for resource in RESOURCES}
    found = {resource: parse(text) for resource, text in texts.items() if text is not None}
    return Pressure(**found) if found else None


def _value(pair: str, key: str) -> str:
    require(pair.startswith(f"{key}="), f"{key}=")
    return pair.removeprefix(f"{key}=")


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
