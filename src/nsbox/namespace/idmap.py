"""Who is who in a user namespace."""

from typing import Any

import attrs

MAX_ID = 2**32 - 2
"""The highest user or group id; the one above means "no change" to the kernel."""


def check_id(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse all but a plain id: no bool, no text, nothing out of range."""
    if value is None:
        return
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name}: an id from 0 to {MAX_ID}, not {value!r}")


@attrs.frozen
class IDMap:
    """As whom the starter of a box appears in the box's user namespace; nobody else is mapped.

    `uid` and `gid` are the ids inside: 0 unless told otherwise, and None for the starter's own.
    See user_namespaces(7).
    """

    uid: int | None = attrs.field(validator=check_id, default=0)
    gid: int | None = attrs.field(validator=check_id, default=0, kw_only=True)

    @classmethod
    def root(cls) -> "IDMap":
        """The starter is root inside."""
        return cls()

    @classmethod
    def same(cls) -> "IDMap":
        """The starter is itself inside."""
        return cls(None, gid=None)

    def lines(self, uid: int, gid: int) -> tuple[str, str]:
        """Return what is written to ``uid_map`` and to ``gid_map`` by a starter of these ids."""
        inside_uid = uid if self.uid is None else self.uid
        inside_gid = gid if self.gid is None else self.gid
        return f"{inside_uid} {uid} 1", f"{inside_gid} {gid} 1"
