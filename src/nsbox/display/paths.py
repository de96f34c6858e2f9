"""A path in a box: what is in the folder, or what kind of file it is."""

import stat
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from nsbox.display.markup import Markup, code, dim, items, page, pill, table
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.boxpath import BoxPath

_MOST_ENTRIES = 40


def draw(path: "BoxPath") -> Markup:
    """Draw a path, as far as it can be looked at; the box may have ended."""
    try:
        status = path.lstat()
        content = _folder(path) if stat.S_ISDIR(status.st_mode) else _file(path, status)
    except (OSError, ValueError) as error:
        return page("BoxPath", code(path), pill(getattr(error, "strerror", None) or error))
    return page("BoxPath", code(path), "in a box", content)


def _folder(path: "BoxPath") -> Markup:
    entries = list(islice(path.iterdir(), _MOST_ENTRIES + 1))
    more = len(entries) > _MOST_ENTRIES
    rows = [row for entry in sorted(entries[:_MOST_ENTRIES], key=str) for row in _row(entry)]
    if more:
        rows.append(("", dim("… and more"), ""))
    return table(rows, ("", "name", "size")) if rows else dim("empty")


def _row(entry: "BoxPath") -> Iterator[tuple[object, ...]]:
    try:
        status = entry.lstat()
    except OSError:  # gone meanwhile
        return
    size = readable(status.st_size) if stat.S_ISREG(status.st_mode) else ""
    yield code(stat.filemode(status.st_mode)), code(entry.name), size


def _file(path: "BoxPath", status: Any) -> Markup:
    rows: dict[str, object] = {
        "mode": code(stat.filemode(status.st_mode)),
        "size": readable(status.st_size),
        "owner": f"{status.st_uid}:{status.st_gid}",
    }
    if stat.S_ISLNK(status.st_mode):
        rows["leads to"] = code(path.readlink())
    return items(rows)
