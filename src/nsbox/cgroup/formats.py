"""The formats of cgroup files, text to value: cgroup-v2.rst, "Format" and "Conventions".

A text that is not of the format raises `ValueError`, and never gives a wrong value.
"""

import re
from collections.abc import Iterable
from typing import Literal

from nsbox.procfs._lines import number, require, rows, split
from nsbox.procfs._lines import words as cut

Limit = int | Literal["max"]

UNLIMITED = 1 << 62
"""From here up a number stands for "no limit": the kernel's largest page counter, in bytes, is
2**63 rounded down to a page (`PAGE_COUNTER_MAX`)."""

_FLAT = re.compile(r"(?:[^ \n]+ [0-9]+\n)*", re.ASCII)
_DEVICE = re.compile(r"[0-9]+:[0-9]+", re.ASCII)
_CENTESIMAL = re.compile(r"[0-9]+\.[0-9]{2}", re.ASCII)


def single(text: str) -> int:
    """Read a file with one number."""
    return number(text.removesuffix("\n"), "a number")


def limit(text: str) -> Limit:
    """Read a number that may be "max" (v2), -1 or the largest there is (v1)."""
    value = text.removesuffix("\n")
    return "max" if value in ("max", "-1") else bounded(single(value))


def bounded(value: int) -> Limit:
    """Tell a number from one so large that it stands for "no limit"."""
    return "max" if value >= UNLIMITED else value


def flag(text: str) -> bool:
    """Read a file with 0 or 1."""
    value = text.removesuffix("\n")
    require(value in ("0", "1"), f"0 or 1, got {value!r}")
    return value == "1"


def flat(text: str) -> dict[str, int]:
    """Read lines of "key number"."""
    if _FLAT.fullmatch(text):  # all lines at once: these files are long, and read often
        words = text.replace("\n", " ").split(" ")
        keys = words[:-1:2]
        whole = dict(zip(keys, map(int, words[1::2]), strict=True))
        if len(whole) == len(keys):
            return whole
    found: dict[str, int] = {}

    def add(line: str) -> None:
        key, value = split(line, " ", 2, "a key and a number")
        _new(found, key)
        found[key] = number(value, f"a number after {key}")

    rows("flat keyed file", text, add)
    return found


def nested(text: str, only: Iterable[str] = ()) -> dict[str, dict[str, Limit]]:
    """Read lines of "key sub=number sub=max"; with `only`, other sub-keys are passed over."""
    found: dict[str, dict[str, Limit]] = {}

    def add(line: str) -> None:
        key, _, rest = line.partition(" ")
        _new(found, key)
        found[key] = {}
        for pair in cut(rest):
            sub, value = split(pair, "=", 2, "sub-key=number")
            _new(found[key], sub)
            if only and sub not in only:
                continue
            found[key][sub] = "max" if value == "max" else number(value, f"a number after {sub}=")

    rows("nested keyed file", text, add)
    return found


def keyed_limits(text: str) -> dict[str, Limit]:
    """Read lines of "key number" where the number may be "max"."""
    found: dict[str, Limit] = {}

    def add(line: str) -> None:
        key, value = split(line, " ", 2, "a key and a number or 'max'")
        _new(found, key)
        found[key] = "max" if value == "max" else number(value, f"a number after {key}")

    rows("keyed file", text, add)
    return found


def per_device(text: str) -> dict[str, dict[str, int]]:
    """Read v1 lines of "MAJ:MIN Operation number"; the closing "Total" is left out."""
    found: dict[str, dict[str, int]] = {}

    def add(line: str) -> None:
        if line.startswith("Total "):
            number(line.removeprefix("Total "), "a total")
            return
        name, operation, value = split(line, " ", 3, "a device, an operation and a number")
        device(name)
        operations = found.setdefault(name, {})
        _new(operations, operation)
        operations[operation] = number(value, f"a number after {operation}")

    rows("blkio file", text, add)
    return found


def device(text: str) -> str:
    """Check a device's "MAJ:MIN"."""
    require(_DEVICE.fullmatch(text) is not None, f"a device as MAJ:MIN, got {text!r}")
    return text


def number_list(text: str) -> frozenset[int]:
    """Read a list of CPUs or memory nodes: "0-3,5". See cpuset(7), "List format"."""
    found: set[int] = set()
    text = text.removesuffix("\n")
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        low = number(first, "a CPU or node")
        high = number(last, "a CPU or node") if dash else low
        require(low <= high < 1 << 16, f"a range of numbers below 65536, got {part!r}")
        found.update(range(low, high + 1))
    return frozenset(found)


def list_text(numbers: Iterable[int]) -> str:
    """Write a list of CPUs or memory nodes, the other way round from `number_list`."""
    runs: list[list[int]] = []
    for value in sorted(numbers):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def percentage(text: str) -> float:
    """Read a percentage with two decimals."""
    require(_CENTESIMAL.fullmatch(text) is not None, f"a number with two decimals, got {text!r}")
    return float(text)


def _new(found: Iterable[str], key: str) -> None:
    require(key != "" and key not in found, f"a key that no other line has, got {key!r}")
