"""How far the clocks of a time namespace are off. See time_namespaces(7)."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import attrs

from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.plan import Step

MAX_OFFSET = (1 << 63) // 10**9
"""The most seconds that a clock can be set off by: KTIME_MAX."""

_FOR_CHILDREN = "/proc/self/ns/time_for_children"
"""Who makes a time namespace is not in it: see namespaces(7)."""


def _nanoseconds(seconds: float) -> int:
    return round(Fraction(seconds) * 10**9)


def _seconds(value: Any) -> Any:
    """Round to what the kernel counts in."""
    if type(value) is not float or not -MAX_OFFSET < value < MAX_OFFSET:
        return value
    return float(Fraction(_nanoseconds(value), 10**9))


def _check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if type(value) not in (int, float) or not -MAX_OFFSET < value < MAX_OFFSET:
        raise ValueError(f"{attribute.name}: seconds, up to {MAX_OFFSET}, not {value!r}")


@attrs.frozen(kw_only=True)
class TimeOffsets:
    """By how many seconds the clocks of a time namespace are ahead of the host's; 0: not set.

    - `monotonic`: of CLOCK_MONOTONIC and its like, see clock_gettime(2).
    - `boottime`: of CLOCK_BOOTTIME, and so of ``/proc/uptime``.

    Fractions count, as exactly as a float tells them; what is negative is behind. No clock can be
    set to a time before 0, which is the host's own start. The time of day is the same everywhere.

    Raises `ValueError`, naming the field, for what is no number or more than 292 years.
    """

    monotonic: float = attrs.field(default=0, converter=_seconds, validator=_check)
    boottime: float = attrs.field(default=0, converter=_seconds, validator=_check)

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Of each clock that is off: whole seconds, and the nanoseconds that are more."""
        by_clock = {"monotonic": self.monotonic, "boottime": self.boottime}
        return {
            clock: divmod(_nanoseconds(seconds), 10**9)
            for clock, seconds in by_clock.items()
            if seconds
        }

    def making_steps(self) -> Iterator[Step]:
        """Make a namespace, and set its clocks: that can be done as long as nobody is in it."""
        yield Step(Operation.UNSHARE, (CloneFlag.CLONE_NEWTIME,))
        lines = [f"{clock} {parts[0]} {parts[1]}\n" for clock, parts in self.parts.items()]
        if lines:
            yield Step(Operation.WRITE, ("/proc/self/timens_offsets", "".join(lines).encode()))

    def handing_over_steps(self) -> Iterator[Step]:
        """Make a namespace for the caller to hold."""
        yield from self.making_steps()
        yield Step(Operation.HAND_OVER, (_FOR_CHILDREN,))

    def entering_steps(self) -> Iterator[Step]:
        """Make a namespace and be in it: for a process that has its memory for itself."""
        yield from self.making_steps()
        yield Step(Operation.SETNS_OWN, (_FOR_CHILDREN, CloneFlag.CLONE_NEWTIME))
