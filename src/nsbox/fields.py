"""What the fields of values take; each refusal is a `ValueError` that names the field."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from nsbox.frozen import FrozenMap

Key = TypeVar("Key")
Value = TypeVar("Value")

StrPath = str | os.PathLike[str]


def is_kernel_text(value: object) -> bool:
    """Whether a value is text that the kernel can take: no null byte, nothing without an encoding.

    A byte that is no UTF-8 may stand in it as `os.fsdecode` writes it.
    """
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def text_path(value: StrPath, field: str) -> str:
    """Accept a str or a path object of str; refuse what no path can be."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not path or not is_kernel_text(path):
        raise ValueError(f"{field}: a path, as a non-empty str or os.PathLike, not {value!r}")
    return path


def frozen_map(value: Mapping[Key, Value], field: str) -> FrozenMap[Key, Value]:
    """Accept a mapping; what it maps is for the field to check."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{field}: a mapping, not {value!r}")
    return FrozenMap(value)


def instance_of(
    kind: type, *, or_none: bool = False
) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    """Return a validator for a type; as attrs' own, but nonsense is a `ValueError` here."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, kind) and not (or_none and value is None):
            raise ValueError(f"{attribute.name}: a {kind.__name__}, not {value!r}")

    return check
