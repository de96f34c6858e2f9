"""Amounts as people write them, checked and made canonical: one function for each kind of field.

Each takes what is written and the name of the field, for the error; `named` gives it that name.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.formats import Limit
from nsbox.frozen import FrozenMap
from nsbox.sizes import MAX_SIZE, size_in_bytes

CPU_PERIOD = 100_000
"""Microseconds: the kernel's own period of ``cpu.max``."""

CPUs = float | tuple[int, int] | Literal["max"]
Percent = float | Literal["max"]
Partition = Literal["member", "root", "isolated"]
Device = str | tuple[int, int]

_NAME = re.compile(r"[^\s/=]+")
_DEVICE_NUMBERS = re.compile(r"[0-9]{1,5}:[0-9]{1,8}", re.ASCII)


def named(_: type, fields: "list[attrs.Attribute[Any]]") -> "list[attrs.Attribute[Any]]":
    """Tell each converter of a class the name of its field: a `field_transformer` of attrs."""
    return [_named(field) if field.converter else field for field in fields]


def _named(field: "attrs.Attribute[Any]") -> "attrs.Attribute[Any]":
    convert: Any = field.converter
    return field.evolve(converter=functools.partial(convert, field=field.name))


def size(value: int | str | None, field: str = "") -> Limit | None:
    """Take bytes, text such as "64M", or "max"."""
    return _size(value, field, 0)


def size_above_0(value: int | str | None, field: str = "") -> Limit | None:
    """Take bytes above 0, text such as "64M", or "max"."""
    return _size(value, field, 1)


def weight(value: int | None, field: str = "") -> int | None:
    """Take a weight, 1 to 10000."""
    return _integer(value, field, 1, 10_000)


def microseconds(value: int | None, field: str = "") -> int | None:
    """Take a time in microseconds."""
    return _integer(value, field, 0, 1 << 40)


def word(value: int | None, field: str = "") -> int | None:
    """Take a number of 32 bits."""
    return _integer(value, field, 0, (1 << 32) - 1)


def tasks(value: int | str | None, field: str = "") -> Limit | None:
    """Take a number of tasks, up to the kernel's PID_MAX_LIMIT, or "max"."""
    return _count(value, field, 0, 1 << 22)


def operations(value: int | str | None, field: str = "") -> Limit | None:
    """Take a number of operations a second, or "max"."""
    return _count(value, field, 1, (1 << 32) - 1)


def handles(value: int | str | None, field: str = "") -> Limit | None:
    """Take a number of handles, or "max"."""
    return _count(value, field, 0, (1 << 31) - 1)


def boolean(value: bool | None, field: str = "") -> bool | None:
    """Take True or False."""
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{field}: True or False, not {value!r}")
    return value


def partition(value: Partition | None, field: str = "") -> Partition | None:
    """Take a kind of cpuset partition."""
    if value not in (None, "member", "root", "isolated"):
        raise ValueError(f"{field}: member, root or isolated, not {value!r}")
    return value


def cpus(value: CPUs | None, field: str = "") -> CPUs | None:
    """Take CPUs (0.5: half the time of one), (quota, period) in microseconds, or "max".

    A pair whose period is the kernel's own is the same as CPUs, and becomes that.
    """
    if value is None or value == "max":
        return value
    if isinstance(value, tuple):
        quota, period = _quota(value, field)
        return quota / CPU_PERIOD if period == CPU_PERIOD else (quota, period)
    if type(value) not in (int, float) or not 0.01 <= value <= 1 << 20:
        raise ValueError(
            f"{field}: CPUs, a number from 0.01 up, or (quota, period) in microseconds, or 'max', "
            f"not {value!r}"
        )
    return round(value * CPU_PERIOD) / CPU_PERIOD


def percent(value: Percent | None, field: str = "") -> Percent | None:
    """Take a percentage from 0 to 100, or "max"."""
    if value is None or value == "max":
        return value
    if type(value) not in (int, float) or not 0 <= value <= 100:
        raise ValueError(f"{field}: a percentage from 0 to 100, or 'max', not {value!r}")
    return round(float(value), 2)


def numbers(value: Iterable[int] | str | None, field: str = "") -> frozenset[int] | None:
    """Take a set of CPUs or memory nodes, as integers or as text: "0-3,5"."""
    if value is None:
        return None
    try:
        text = value.replace(" ", "") if isinstance(value, str) else formats.list_text(value)
        found = formats.number_list(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{field}: numbers such as {{0, 1}} or '0-3,5', not {value!r}") from error
    if not found:
        raise ValueError(f"{field}: at least one number, not {value!r}")
    return found


def latencies(value: Mapping[Device, int] | None, field: str = "") -> FrozenMap[str, int] | None:
    """Take microseconds by block device."""
    return mapping(value, field, device, microseconds)


def sizes(value: Mapping[str, int | str] | None, field: str = "") -> FrozenMap[str, Limit] | None:
    """Take sizes by name."""
    return mapping(value, field, name, size)


def counts(value: Mapping[str, int | str] | None, field: str = "") -> FrozenMap[str, Limit] | None:
    """Take numbers by name."""
    return mapping(value, field, name, lambda one, of: _count(one, of, 0, MAX_SIZE))


def words(value: Mapping[str, int] | None, field: str = "") -> FrozenMap[str, int] | None:
    """Take numbers of 32 bits by name."""
    return mapping(value, field, name, word)


def mapping(
    value: Any, field: str, key: Callable[[Any, str], str], amount: Callable[[Any, str], Any]
) -> FrozenMap[str, Any] | None:
    """Take a mapping, each key and value by the functions given."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{field}: a mapping, not {value!r}")
    taken = {key(one, field): amount(content, field) for one, content in value.items()}
    if None in taken.values():
        raise ValueError(f"{field}: an amount for each key, not None")
    return FrozenMap(taken)


def name(value: Any, field: str) -> str:
    """Take a name of a device, a page size or a kind, as the kernel spells it."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{field}: a name as a key, not {value!r}")
    return value


def device(value: Any, field: str) -> str:
    """Take a block device by number ("8:0", (8, 0)) or by path ("/dev/vda")."""
    if isinstance(value, tuple) and len(value) == 2 and all(type(part) is int for part in value):
        value = f"{value[0]}:{value[1]}"
    if isinstance(value, str):
        if _DEVICE_NUMBERS.fullmatch(value):
            major, minor = value.split(":")
            return f"{int(major)}:{int(minor)}"
        if value.startswith("/") and "\0" not in value:
            return value
    raise ValueError(f"{field}: a block device as '8:0' or '/dev/vda', not {value!r}")


def _size(value: int | str | None, field: str, least: int) -> Limit | None:
    if value == "max":
        return "max"
    return None if value is None else size_in_bytes(value, field, least)


def _count(value: int | str | None, field: str, least: int, most: int) -> Limit | None:
    return "max" if value == "max" else _integer(value, field, least, most)


def _integer(value: Any, field: str, least: int, most: int) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{field}: a number from {least} to {most}, not {value!r}")
    return value


def _quota(value: Any, field: str) -> tuple[int, int]:
    if len(value) != 2 or not all(type(part) is int for part in value):
        raise ValueError(f"{field}: (quota, period) in microseconds, not {value!r}")
    quota, period = value
    if not 1000 <= period <= 1_000_000 or not 1000 <= quota <= 1 << 40:
        raise ValueError(
            f"{field}: a period of 1000 to 1000000 microseconds and a quota of 1000 or more, "
            f"not {value!r}"
        )
    return quota, period
