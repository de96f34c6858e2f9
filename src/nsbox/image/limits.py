"""How much an image may unpack to: what a small blob says it holds has no bound of its own."""

import attrs

from nsbox.sizes import size_in_bytes


def _size(value: int | str) -> int:
    return size_in_bytes(value, "size")


def _entries(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if type(value) is not int or value <= 0:
        raise ValueError(f"{attribute.name}: a number above 0, not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """The most that one layer, or an archive to open, may hold: `entries`, `size` (``"16G"``).

    What is counted is the archive itself and the lengths of its files, holes included.
    """

    entries: int = attrs.field(default=4_000_000, validator=_entries)
    size: int = attrs.field(default=64 << 30, converter=_size)
