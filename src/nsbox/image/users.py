"""Who an image wants to be: its user by name or number, looked up in its own files.

See "User" in OCI's config.md; passwd(5) and group(5).
"""

import attrs

from nsbox.errors import ImageError
from nsbox.image.merged import Merged

_MAX_ID = 2**32 - 2


@attrs.frozen
class User:
    """Ids to run under, and the home folder that goes with them."""

    uid: int
    gid: int
    home: str | None = None


def look_up(user: str, tree: Merged) -> User:
    """Return who ``name``, ``uid``, ``name:group`` ... is in a tree. `ImageError` for nobody."""
    name, colon, group = user.partition(":")
    name = name or "0"
    row = _row(tree, "/etc/passwd", name, 7)
    uid = _number(row[2] if row else name)
    gid = _number(row[3]) if row else 0
    if uid is None or gid is None:
        raise ImageError(f"user {user!r}: nobody of that name is in the image's /etc/passwd")
    if colon:
        found = _row(tree, "/etc/group", group, 4)
        given = _number(found[2] if found else group)
        if given is None:
            raise ImageError(f"user {user!r}: no such group is in the image's /etc/group")
        gid = given
    return User(uid, gid, row[5] if row else None)


def _row(tree: Merged, path: str, name: str, fields: int) -> list[str] | None:
    """Return the row of a name, or of a number, in a file of rows."""
    text = (tree.read(path) or b"").decode(errors="surrogateescape")
    rows = [line.split(":") for line in text.splitlines()]
    rows = [row for row in rows if len(row) >= fields]
    by_name = next((row for row in rows if row[0] == name), None)
    return by_name or next((row for row in rows if row[2] == name), None)


def _number(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_ID:
        return int(text)
    return None
