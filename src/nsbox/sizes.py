"""Amounts of memory, as people write them."""

import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,19})\s*(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE | re.ASCII)
MAX_SIZE = (1 << 63) - 1


def size_in_bytes(value: int | str, field: str, least: int = 1) -> int:
    """Read a size: bytes from `least` up, or text with a binary unit such as ``"64M"``.

    Raises `ValueError`, naming the field, for anything else.
    """
    size = value if type(value) is int else None
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        size = int(found[1]) * _UNITS[(found[2] or "").upper()]
    if size is None or not least <= size <= MAX_SIZE:
        raise ValueError(
            f"{field}: bytes from {least} up, or text such as '64M' or '1G', not {value!r}"
        )
    return size


def readable(amount: int) -> str:
    """Write an amount of memory as people read it: ``1.5 MiB``."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
