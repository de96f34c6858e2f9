"""How the processes of a box stand beside the host's others. See sched(7), ioprio_set(2)."""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nsbox._native.operations import Operation
from nsbox.plan import Step

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec

Levelled = str | tuple[str, int]
"""A class, or a class and a place within it."""

POLICIES = {
    "other": (os.SCHED_OTHER, range(1)),
    "batch": (os.SCHED_BATCH, range(1)),
    "idle": (os.SCHED_IDLE, range(1)),
    "fifo": (os.SCHED_FIFO, range(1, 100)),
    "rr": (os.SCHED_RR, range(1, 100)),
}
"""Policies by the names of chrt(1): their numbers and the priorities that each takes."""

IO_CLASSES = {"realtime": (1, range(8)), "best-effort": (2, range(8)), "idle": (3, range(1))}
"""Classes by the names of ionice(1): their numbers and the levels that each takes, 0 first."""

_IO_CLASS_SHIFT = 13  # IOPRIO_CLASS_SHIFT
_MOST_CPUS = 1 << 13  # CONFIG_NR_CPUS is not above
_MOST_PERSONALITY = (1 << 32) - 2  # all ones ask, see personality(2)


def within(lowest: int, highest: int) -> Any:
    """Make a check for a number, or None."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and (type(value) is not int or not lowest <= value <= highest):
            raise ValueError(f"{attribute.name}: {lowest} to {highest}, not {value!r}")

    return check


check_nice = within(-20, 19)
check_oom_score_adj = within(-1000, 1000)
check_personality = within(0, _MOST_PERSONALITY)


def _levelled(classes: dict[str, tuple[int, range]]) -> Any:
    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None:
            return
        name, level = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if not isinstance(name, str) or name not in classes:
            raise ValueError(f"{attribute.name}: {', '.join(classes)}; not {value!r}")
        _, levels = classes[name]
        if level is None and len(levels) == 1:
            return
        if type(level) is not int or level not in levels:
            wanted = f"({name!r}, {levels[0]} to {levels[-1]})"
            raise ValueError(f"{attribute.name}: {wanted}, not {value!r}")

    return check


check_scheduler = _levelled(POLICIES)
check_io_priority = _levelled(IO_CLASSES)


def read_affinity(value: Iterable[int] | None) -> frozenset[int] | None:
    """Read a set of CPUs, as `os.sched_setaffinity` takes them. Raises `ValueError`."""
    if value is None:
        return None
    cpus = frozenset(value) if isinstance(value, Iterable) else frozenset()
    if not cpus or not all(type(cpu) is int and 0 <= cpu < _MOST_CPUS for cpu in cpus):
        raise ValueError(f"affinity: numbers of CPUs, not {value!r}")
    return cpus


def steps(spec: "BoxSpec") -> Iterator[Step]:
    """Lower what a spec says; by the rights of its starter, and for all of the box."""
    if spec.affinity is not None:
        mask = sum(1 << cpu for cpu in spec.affinity)
        words = -(-mask.bit_length() // 64)
        yield Step(Operation.SCHED_SETAFFINITY, (mask.to_bytes(words * 8, "little"),))
    if spec.scheduler is not None:
        yield Step(Operation.SCHED_SETSCHEDULER, _numbers(POLICIES, spec.scheduler))
    if spec.nice is not None:
        yield Step(Operation.SETPRIORITY, (spec.nice,))
    if spec.io_priority is not None:
        number, level = _numbers(IO_CLASSES, spec.io_priority)
        yield Step(Operation.IOPRIO_SET, (number << _IO_CLASS_SHIFT | level,))
    if spec.oom_score_adj is not None:
        score = f"{spec.oom_score_adj}\n".encode()
        yield Step(Operation.WRITE, ("/proc/self/oom_score_adj", score))
    if spec.memory_policy is not None:
        yield spec.memory_policy.step()
    if spec.personality is not None:
        yield Step(Operation.PERSONALITY, (spec.personality,))


def _numbers(classes: dict[str, tuple[int, range]], value: Levelled) -> tuple[int, int]:
    name, level = value if isinstance(value, tuple) else (value, 0)
    return classes[name][0], level
