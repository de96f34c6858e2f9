"""The hugetlb controller: cgroup-v2.rst, "HugeTLB"; cgroup-v1/hugetlb.rst.

Its files bear the page size in their names, so the sizes come from the host, not from the group.
"""

import os
import re
from typing import Any

import attrs

from nsbox.cgroup import formats
from nsbox.cgroup.controllers._lowering import Read, Write, flat, single, told
from nsbox.cgroup.resources import Resources
from nsbox.frozen import FrozenMap

NAMES = {1: "hugetlb", 2: "hugetlb"}
FIELDS = ("hugetlb_max",)
COUNTED = {
    1: ("usage_in_bytes", "max_usage_in_bytes", "failcnt"),
    2: ("current", "events"),
}
"""For each size of pages."""

_FOLDER = re.compile(r"hugepages-([0-9]+)kB", re.ASCII)


@attrs.frozen(kw_only=True)
class HugePagesStats:
    """Huge pages of one size: bytes now, at most (v1), and how often the limit was met."""

    current: int
    peak: int | None = None
    max_hits: int | None = None


@attrs.frozen(kw_only=True)
class HugetlbStats:
    """`HugePagesStats` by page size, as the kernel writes it: "2MB"."""

    sizes: FrozenMap[str, HugePagesStats] = FrozenMap()


def page_sizes(folder: str = "/sys/kernel/mm/hugepages") -> tuple[str, ...]:
    """List the sizes of huge pages of this host, as the kernel writes them in names of files."""
    try:
        found = [_FOLDER.fullmatch(name) for name in sorted(os.listdir(folder))]
    except OSError:
        return ()
    return tuple(_size(int(one[1])) for one in found if one)


def _size(kib: int) -> str:
    """Write a size as the kernel's mem_fmt() does."""
    for shift, unit in ((20, "GB"), (10, "MB")):
        if kib >= 1 << shift:
            return f"{kib >> shift}{unit}"
    return f"{kib}KB"


def v2(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to one file for each page size."""
    return [
        Write(f"hugetlb.{size}.max", str(value), "hugetlb_max")
        for size, value in (wish.hugetlb_max or {}).items()
    ]


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to one file for each page size."""
    return [
        Write(
            f"hugetlb.{size}.limit_in_bytes", "-1" if value == "max" else str(value), "hugetlb_max"
        )
        for size, value in (wish.hugetlb_max or {}).items()
    ]


def read_v2(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return _limits(read, "max")


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return _limits(read, "limit_in_bytes")


def _limits(read: Read, suffix: str) -> dict[str, Any]:
    limits = {size: told(read, f"hugetlb.{size}.{suffix}", formats.limit) for size in page_sizes()}
    found = {size: limit for size, limit in limits.items() if limit is not None}
    return {"hugetlb_max": found or None}


def stats_v2(read: Read) -> HugetlbStats | None:
    """Read ``hugetlb.SIZE.*``."""
    sizes = {}
    for size in page_sizes():
        current = single(read, f"hugetlb.{size}.current")
        if current is not None:
            events = flat(read, f"hugetlb.{size}.events") or {}
            sizes[size] = HugePagesStats(current=current, max_hits=events.get("max"))
    return HugetlbStats(sizes=FrozenMap(sizes)) if sizes else None


def stats_v1(read: Read) -> HugetlbStats | None:
    """Read ``hugetlb.SIZE.*``."""
    sizes = {}
    for size in page_sizes():
        current = single(read, f"hugetlb.{size}.usage_in_bytes")
        if current is not None:
            sizes[size] = HugePagesStats(
                current=current,
                peak=single(read, f"hugetlb.{size}.max_usage_in_bytes"),
                max_hits=single(read, f"hugetlb.{size}.failcnt"),
            )
    return HugetlbStats(sizes=FrozenMap(sizes)) if sizes else None
