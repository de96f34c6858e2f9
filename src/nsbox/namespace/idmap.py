"""Who is who in a user namespace, as a value."""

import itertools
from collections.abc import Iterable
from typing import Any

import attrs

from nsbox.display import Displayed
from nsbox.fields import instance_of
from nsbox.procfs import IDMapLine

MAX_ID = 2**32 - 2
"""The highest user or group id; the one above means "no change" to the kernel."""

MAX_LINES = 340
"""How many lines a map can have. See user_namespaces(7)."""

MAX_BYTES = 4096 - 1
"""How long its text can be: less than a page, of the smallest there are."""


def check_id(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse all but a plain id: no bool, no text, nothing out of range."""
    if value is None:
        return
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name}: an id from 0 to {MAX_ID}, not {value!r}")


Ranges = Iterable[tuple[int, int, int] | IDMapLine]


def _lines(value: Ranges, field: str) -> tuple[IDMapLine, ...]:
    try:
        return tuple(
            line if isinstance(line, IDMapLine) else IDMapLine(*line) for line in tuple(value)
        )
    except TypeError:
        raise ValueError(f"{field}: ranges, (inside, outside, count), not {value!r}") from None


def _uids(value: Ranges) -> tuple[IDMapLine, ...]:
    return _lines(value, "uids")


def _gids(value: Ranges) -> tuple[IDMapLine, ...]:
    return _lines(value, "gids")


def map_text(lines: Iterable[IDMapLine]) -> str:
    """Return what is written to ``uid_map`` or ``gid_map``."""
    return "".join(f"{line.inside} {line.outside} {line.count}\n" for line in lines)


def check_lines(_: Any, attribute: "attrs.Attribute[Any]", value: tuple[IDMapLine, ...]) -> None:
    """Refuse what the kernel would: too many, empty or overlapping ranges, ids out of range."""
    if len(value) > MAX_LINES:
        raise ValueError(f"{attribute.name}: at most {MAX_LINES} ranges, not {len(value)}")
    for line in value:
        for number in (line.inside, line.outside, line.count):
            if type(number) is not int or number < 0:
                raise ValueError(f"{attribute.name}: ids from 0 to {MAX_ID}, not {line!r}")
        if line.count == 0 or max(line.inside, line.outside) + line.count - 1 > MAX_ID:
            raise ValueError(f"{attribute.name}: one id or more, up to {MAX_ID}, not {line!r}")
    if len(map_text(value)) > MAX_BYTES:
        raise ValueError(f"{attribute.name}: at most {MAX_BYTES} bytes as the kernel reads them")
    for side in ("inside", "outside"):
        ordered = sorted(value, key=lambda line: int(getattr(line, side)))
        for one, other in itertools.pairwise(ordered):
            if getattr(one, side) + one.count > getattr(other, side):
                raise ValueError(f"{attribute.name}: {one!r} and {other!r} overlap {side}")


@attrs.frozen
class IDMap(Displayed):
    """Who is who in a box's user namespace. See user_namespaces(7).

    Made by `root`, `same`, `ranges` or `subordinate`. `uid` and `gid` are the ids that the box's
    command has inside, None for the starter's own. Without ranges the starter appears under
    these, and nobody else is mapped.
    """

    uid: int | None = attrs.field(validator=check_id, default=0)
    gid: int | None = attrs.field(validator=check_id, default=0, kw_only=True)
    uids: tuple[IDMapLine, ...] = attrs.field(
        converter=_uids, validator=check_lines, default=(), kw_only=True
    )
    gids: tuple[IDMapLine, ...] = attrs.field(
        converter=_gids, validator=check_lines, default=(), kw_only=True
    )
    subids: bool = attrs.field(validator=instance_of(bool), default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse half a map, and an id that the ranges leave out."""
        if bool(self.uids) != bool(self.gids):
            raise ValueError("gids: ranges of users and of groups go together")
        for name, id_, lines in (("uid", self.uid, self.uids), ("gid", self.gid, self.gids)):
            if lines and (id_ is None or not any(_holds(line, id_) for line in lines)):
                raise ValueError(f"{name}: {id_} is in none of the ranges {lines!r}")

    @classmethod
    def root(cls) -> "IDMap":
        """The starter is root inside, and alone."""
        return cls()

    @classmethod
    def same(cls) -> "IDMap":
        """The starter is itself inside, and alone."""
        return cls(None, gid=None)

    @classmethod
    def ranges(
        cls,
        uids: Ranges,
        gids: Ranges | None = None,
        *,
        uid: int = 0,
        gid: int = 0,
    ) -> "IDMap":
        """Map ranges: ``(inside, outside, count)`` each, for groups the same unless told.

        The command is `uid` and `gid` inside. A starter without CAP_SETUID can map its own id and
        those that /etc/subuid and /etc/subgid grant it, by newuidmap(1) of the distribution.
        """
        listed = _uids(uids)
        return cls(uid, gid=gid, uids=listed, gids=listed if gids is None else gids)

    @classmethod
    def subordinate(cls) -> "IDMap":
        """The starter is root inside, and its subordinate ids follow from 1 on: subuid(5)."""
        return cls(subids=True)

    @property
    def has_ranges(self) -> bool:
        """Whether it maps more than the starter."""
        return self.subids or bool(self.uids)

    def lines(self, uid: int, gid: int) -> tuple[str, str]:
        """Return what is written to ``uid_map`` and to ``gid_map`` by a starter of these ids.

        Only for a map without ranges.
        """
        inside_uid = uid if self.uid is None else self.uid
        inside_gid = gid if self.gid is None else self.gid
        return f"{inside_uid} {uid} 1", f"{inside_gid} {gid} 1"


def _holds(line: IDMapLine, id_: int) -> bool:
    return line.inside <= id_ < line.inside + line.count
