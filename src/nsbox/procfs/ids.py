"""Which ids a user namespace maps, and which ones a user may have mapped."""

import attrs

from nsbox.procfs._lines import number, require, rows, split, words

_LIMIT = 2**32  # uid_t and gid_t have 32 bits


# Not named tuples, as the other records are: a tuple has a method `count`.
@attrs.frozen
class IDMapLine:
    """`count` ids from `inside` on are those from `outside` on: user_namespaces(7).

    Outside means the parent namespace, or the reader's if it reads another's map; 4294967295
    then says that the reader's namespace has no id for it.
    """

    inside: int
    outside: int
    count: int


@attrs.frozen
class SubID:
    """`count` subordinate ids from `start` on, granted to `owner`: a login name or a uid."""

    owner: str
    start: int
    count: int


def parse_id_map(text: str) -> tuple[IDMapLine, ...]:
    """Parse `/proc/PID/uid_map` or `gid_map`: user_namespaces(7).

    Raises:
        ValueError: a line is not three numbers, or maps no id, or one beyond 32 bits.
    """
    return tuple(rows("id map", text, _map_line))


def parse_subid(text: str) -> tuple[SubID, ...]:
    """Parse `/etc/subuid` or `/etc/subgid`, comments and blank lines left out: subuid(5).

    Raises:
        ValueError: a line is not "owner:start:count".
    """
    return tuple(row for row in rows("subordinate ids", text, _subid) if row is not None)


def _map_line(line: str) -> IDMapLine:
    fields = words(line)
    require(len(fields) == 3, "three numbers: inside, outside, count")
    inside, outside, count = (number(field, "an id or a count") for field in fields)
    require(0 < count <= _LIMIT - inside and outside < _LIMIT, "one id or more, below 2**32")
    return IDMapLine(inside, outside, count)


def _subid(line: str) -> SubID | None:
    if not words(line) or line.startswith("#"):
        return None
    owner, start, count = split(line, ":", 3, "owner:start:count")
    require(owner != "", "an owner before the first ':'")
    return SubID(owner, number(start, "a first id"), number(count, "a count"))
