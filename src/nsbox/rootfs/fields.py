"""What the fields of roots and mounts take: converters, and checks that name the field."""

from pathlib import PurePosixPath
from typing import Any, get_args

import attrs

from nsbox.fields import StrPath, instance_of, text_path
from nsbox.namespace.idmap import IDMap
from nsbox.sizes import size_in_bytes


def check_mode(_: Any, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Refuse all but permission bits."""
    if type(value) is not int or not 0 <= value <= 0o7777:
        raise ValueError(f"{attribute.name}: permission bits from 0 to 0o7777, not {value!r}")


def paths(value: Any, field: str) -> tuple[str, ...]:
    """Accept folders of the host, at least one; refuse what no paths can be."""
    if isinstance(value, str) or not isinstance(value, tuple | list) or not value:
        raise ValueError(f"{field}: one path or more, not {value!r}")
    return tuple(text_path(path, field) for path in value)


def place(value: StrPath) -> str:
    """Normalize a place in the box: absolute, without "." and "..", not the root itself."""
    path = PurePosixPath(text_path(value, "target"))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) == 1:
        raise ValueError(f"target: an absolute path below /, without '..', not {str(value)!r}")
    return "/" + "/".join(path.parts[1:])


def source_path(value: StrPath) -> str:
    """Accept what is bound: a path of the host."""
    return text_path(value, "source")


def link_target(value: StrPath) -> str:
    """Accept what a symbolic link says."""
    return text_path(value, "to")


def lower_paths(value: Any) -> tuple[str, ...]:
    """Accept the lower layers of an overlay."""
    return paths(value, "lowers")


def upper_path(value: StrPath | None) -> str | None:
    """Accept the folder of a kept layer, or None for one that is thrown away."""
    return None if value is None else text_path(value, "upper")


def optional_size(value: int | str | None) -> int | None:
    """Read a size in bytes, or None for no limit."""
    return None if value is None else size_in_bytes(value, "size")


def content_bytes(value: str | bytes) -> bytes:
    """Read what is in a file."""
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"content: bytes, or str that UTF-8 can write, not {value!r}") from None


def one_of(kind: Any) -> Any:
    """Make a check for one of the words of a `Literal`."""
    choices = get_args(kind)

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{attribute.name}: one of {', '.join(choices)}, not {value!r}")

    return check


def check_idmap(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse all but a map with ranges of ids."""
    if value is not None and not (isinstance(value, IDMap) and value.uids):
        raise ValueError(f"{attribute.name}: made by IDMap.ranges, not {value!r}")


def check_subset(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse all but the subset that proc(5) knows."""
    if value not in (None, "pid"):
        raise ValueError(f"{attribute.name}: 'pid' or None, not {value!r}")


def flag(default: bool) -> Any:
    """Make a field that is True or False."""
    return attrs.field(default=default, validator=instance_of(bool), kw_only=True)


def mode_bits(default: int) -> Any:
    """Make a field of permission bits."""
    return attrs.field(default=default, validator=check_mode, kw_only=True)


def optional_mode_bits(default: int | None) -> Any:
    """Make a field of permission bits, or None for those that are there."""
    check = attrs.validators.optional(check_mode)
    return attrs.field(default=default, validator=check, kw_only=True)


def hidden(content: bytes) -> str:
    """Show content by its size alone."""
    return f"<{len(content)} bytes>"
