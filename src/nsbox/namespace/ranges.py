"""Ranges of ids, given to a user namespace from outside: a process that is in it waits meanwhile.

A map with more than the writer's own id takes CAP_SETUID in the parent namespace, which whoever
made the namespace has left behind; an ordinary user has it done by newuidmap(1), the
distribution's own, by what subuid(5) grants. See user_namespaces(7).
"""

import pwd
import shutil
import subprocess
from collections.abc import Iterable

from nsbox.caller import Caller
from nsbox.errors import UnsupportedError
from nsbox.namespace.idmap import IDMap
from nsbox.procfs import IDMapLine, decode, parse_subid

_FILES = {"uid": "/etc/subuid", "gid": "/etc/subgid"}

Lines = tuple[IDMapLine, ...]


def resolve(id_map: IDMap, caller: Caller) -> dict[str, Lines]:
    """Return the lines of both maps, for "uid" and "gid", and check the caller's right to them.

    Reads /etc/subuid and /etc/subgid. Raises `UnsupportedError` where the caller may not map them.
    """
    if id_map.subids:
        lines = {
            kind: _subordinate(kind, own, caller)
            for kind, own in (("uid", caller.uid), ("gid", caller.gid))
        }
    else:
        lines = {"uid": id_map.uids, "gid": id_map.gids}
    if not caller.maps_freely:
        for kind, own in (("uid", caller.uid), ("gid", caller.gid)):
            _check_granted(kind, lines[kind], own, _granted(kind, caller.uid))
        for kind in _FILES:
            _program(kind)
    return lines


def write(pid: int, lines: dict[str, Lines], caller: Caller) -> None:
    """Write both maps of a process's user namespace.

    Raises `OSError` with the file that could not be written, or `UnsupportedError` with what
    newuidmap(1) said.
    """
    for kind, ranges in lines.items():
        if caller.maps_freely:
            text = "".join(f"{line.inside} {line.outside} {line.count}\n" for line in ranges)
            with open(f"/proc/{pid}/{kind}_map", "wb", buffering=0) as file:
                file.write(text.encode())  # in one call: a map is written once
        else:
            _new_map(kind, pid, ranges)


def _new_map(kind: str, pid: int, ranges: Lines) -> None:
    numbers = (str(n) for line in ranges for n in (line.inside, line.outside, line.count))
    done = subprocess.run(
        [_program(kind), str(pid), *numbers], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnsupportedError(f"id_map: new{kind}map refused: {done.stderr.strip()}")


def _program(kind: str) -> str:
    found = shutil.which(f"new{kind}map")
    if found is None:
        raise UnsupportedError(
            f"id_map: ranges of an ordinary user take new{kind}map, which is not installed "
            "(Debian, Ubuntu: apt install uidmap; Fedora: dnf install shadow-utils)"
        )
    return found


def _subordinate(kind: str, own: int, caller: Caller) -> Lines:
    lines, inside = [IDMapLine(0, own, 1)], 1
    for start, count in _granted(kind, caller.uid):
        lines.append(IDMapLine(inside, start, count))
        inside += count
    if inside == 1:
        raise UnsupportedError(
            f"id_map: {_FILES[kind]} grants no range to user {_login(caller.uid)}; as root: "
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
            f"{_login(caller.uid)}"
        )
    return tuple(lines)


def _granted(kind: str, uid: int) -> list[tuple[int, int]]:
    """Return the (start, count) of each range that is the user's. See subuid(5), subgid(5)."""
    try:
        with open(_FILES[kind], "rb") as file:
            granted = parse_subid(decode(file.read()))
    except FileNotFoundError:
        return []
    return [(one.start, one.count) for one in granted if one.owner in (_login(uid), str(uid))]


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _check_granted(
    kind: str, lines: Iterable[IDMapLine], own: int, granted: list[tuple[int, int]]
) -> None:
    for line in lines:
        if (line.outside, line.count) == (own, 1) or any(
            start <= line.outside and line.outside + line.count <= start + count
            for start, count in granted
        ):
            continue
        raise UnsupportedError(
            f"id_map: {line.outside} to {line.outside + line.count - 1} are not this user's to "
            f"map: {_FILES[kind]} grants {_spans(granted)}"
        )


def _spans(granted: list[tuple[int, int]]) -> str:
    return ", ".join(_span(start, count) for start, count in granted) or "nothing"


def _span(start: int, count: int) -> str:
    return f"{start} to {start + count - 1}"
