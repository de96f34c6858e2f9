"""Ranges of ids, given to a user namespace from outside: a process that is in it waits meanwhile.

A map with more than the writer's own id takes CAP_SETUID in the parent namespace, which whoever
made the namespace has left behind; an ordinary user has it done by newuidmap(1), the
distribution's own, by what subuid(5) grants. See user_namespaces(7).
"""

import pwd
import shutil
import subprocess

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.errors import UnsupportedError
from nsbox.namespace.idmap import IDMap, map_text
from nsbox.perform import perform
from nsbox.plan import Step
from nsbox.procfs import IDMapLine, decode, parse_subid

_FILES = {"uid": "/etc/subuid", "gid": "/etc/subgid"}

Lines = tuple[IDMapLine, ...]


def resolve(id_map: IDMap, caller: Caller) -> dict[str, Lines]:
    """Return the lines of both maps, for "uid" and "gid", and check the caller's right to them.

    Reads /etc/subuid and /etc/subgid. Raises `UnsupportedError` where the caller may not map them.
    """
    lines = {"uid": id_map.uids, "gid": id_map.gids}
    if id_map.subids:
        for kind, own in (("uid", caller.uid), ("gid", caller.gid)):
            lines[kind] = _subordinate(own, _granted(kind, caller.uid))
            if len(lines[kind]) == 1:
                raise UnsupportedError(
                    f"id_map: {_FILES[kind]} grants no range to user {_login(caller.uid)}"
                    + _remedy()
                )
    if not caller.maps_freely:
        for kind, own in (("uid", caller.uid), ("gid", caller.gid)):
            _check_granted(kind, lines[kind], own, _granted(kind, caller.uid))
            _program(kind)
    return lines


def write(pid: int, lines: dict[str, Lines], caller: Caller) -> None:
    """Write both maps of a process's user namespace.

    Raises `StepError` for the file that could not be written, or `UnsupportedError` with what
    newuidmap(1) said.
    """
    for kind, ranges in lines.items():
        if caller.maps_freely:
            text = map_text(ranges).encode()
            perform([Step(Operation.WRITE, (f"/proc/{pid}/{kind}_map", text))])
        else:
            _new_map(kind, pid, ranges)


def _new_map(kind: str, pid: int, ranges: Lines) -> None:
    numbers = (str(n) for line in ranges for n in (line.inside, line.outside, line.count))
    done = subprocess.run(
        [_program(kind), str(pid), *numbers], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise UnsupportedError(f"id_map: new{kind}map refused: {said}{_remedy()}")


def _program(kind: str) -> str:
    found = shutil.which(f"new{kind}map")
    if found is None:
        raise UnsupportedError(f"id_map: an ordinary user's ranges take new{kind}map(1){_remedy()}")
    return found


def _remedy() -> str:
    """Say what keeps this caller from ranges, as `nsbox.probe` finds it."""
    from nsbox.host import probe  # noqa: PLC0415 - only a failure pays for looking

    finding = probe().newuidmap
    return "" if finding.ok else f"; {finding.reason}: {finding.remedy}"


def _subordinate(own: int, granted: list[tuple[int, int]]) -> Lines:
    """Give the starter's own id first, and then what it was granted, one range after the other."""
    lines, inside = [IDMapLine(0, own, 1)], 1
    for start, count in granted:
        lines.append(IDMapLine(inside, start, count))
        inside += count
    return tuple(lines)


def _granted(kind: str, uid: int) -> list[tuple[int, int]]:
    """Return the (start, count) of each range that is the user's. See subuid(5), subgid(5)."""
    try:
        with open(_FILES[kind], "rb") as file:
            granted = parse_subid(decode(file.read()))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise UnsupportedError(f"id_map: {_FILES[kind]} cannot be read: {error}") from None
    owners = (_login(uid), str(uid))  # a range may be there under both
    return list(dict.fromkeys((one.start, one.count) for one in granted if one.owner in owners))


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _check_granted(kind: str, lines: Lines, own: int, granted: list[tuple[int, int]]) -> None:
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
