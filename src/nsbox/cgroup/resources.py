"""What a box may use of its host, as a value; `v1` and `v2` lower it to files to write."""

from typing import Any

import attrs

from nsbox.sizes import size_in_bytes


def _memory(value: int | str | None) -> int | None:
    return None if value is None else size_in_bytes(value, "memory_max")


def _cpus(_: Any, attribute: "attrs.Attribute[float | None]", value: Any) -> None:
    if value is not None and (type(value) not in (int, float) or not 0.01 <= value <= 1 << 20):
        raise ValueError(f"{attribute.name}: CPUs, a number from 0.01 up, not {value!r}")


def _count(_: Any, attribute: "attrs.Attribute[int | None]", value: Any) -> None:
    if value is not None and (type(value) is not int or not 0 < value < 1 << 22):
        raise ValueError(f"{attribute.name}: a number of tasks from 1 up, not {value!r}")


@attrs.frozen(kw_only=True)
class Resources:
    """Limits of a box, each under the name of its cgroup v2 file; None sets no limit.

    - `memory_max`: bytes, or text such as ``"64M"``. See cgroup-v2.rst, "Memory Interface Files".
    - `cpu_max`: CPUs; 0.5 is half the time of one. See cgroup-v2.rst, "CPU Interface Files".
    - `pids_max`: tasks, processes and threads alike. See cgroup-v2.rst, "PID Interface Files".

    Raises `ValueError`, naming the field, for what is no such amount.
    """

    memory_max: int | None = attrs.field(default=None, converter=_memory)
    cpu_max: float | None = attrs.field(default=None, validator=_cpus)
    pids_max: int | None = attrs.field(default=None, validator=_count)
