"""Lines, fields and numbers: the little that all files of `/proc` share."""

import re
from collections.abc import Callable
from typing import TypeVar

_Row = TypeVar("_Row")

words = re.compile(r"[^ \t]+").findall
"""Cut at the blanks the kernel pads numbers with, and at no other white space."""


def decode(data: bytes) -> str:
    r"""Turn a file's bytes into text that keeps every byte and every line end.

    Text mode would do neither: it refuses bytes that are no UTF-8, and makes "\n" of "\r".
    """
    return data.decode("utf-8", "surrogateescape")


def rows(file: str, text: str, parse: Callable[[str], _Row]) -> list[_Row]:
    """Apply `parse` to each line, and let its complaint say which line that was.

    Raises:
        ValueError: "mountinfo, line 3: expected … in '…'".
    """
    parsed = []
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, start=1):
        try:
            parsed.append(parse(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error} in {line!r}") from None
    return parsed


def require(condition: bool, expected: str) -> None:
    """Raise `ValueError` saying what was expected, unless `condition` holds."""
    if not condition:
        raise ValueError(f"expected {expected}")


def split(line: str, separator: str, count: int, expected: str) -> list[str]:
    """Cut into exactly `count` parts, the last of which may hold the separator."""
    parts = line.split(separator, count - 1)
    require(len(parts) == count, expected)
    return parts


def number(text: str, expected: str, base: int = 10) -> int:
    """Read digits and nothing else: `int` takes signs, underscores, spaces and other scripts."""
    digits = "0123456789abcdef"[:base]
    require(text != "" and text.strip(digits) == "", f"{expected}, got {text!r}")
    return int(text, base)
