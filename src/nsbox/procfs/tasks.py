"""Who a task is, and what it may do."""

from collections.abc import Mapping
from typing import NamedTuple

from nsbox.procfs._lines import number, require, rows, split, words


class Ids(NamedTuple):
    """The four user (or group) ids of a task, in the order of its status file."""

    real: int
    effective: int
    saved: int
    filesystem: int


class Status(NamedTuple):
    """What decides a task's privileges: credentials(7), capabilities(7); the sets are bit masks."""

    uids: Ids
    gids: Ids
    groups: tuple[int, ...]
    threads: int
    no_new_privs: bool
    seccomp: int | None  # 0 off, 1 strict, 2 filter; None: a kernel without seccomp
    nspid: tuple[int, ...]  # the reader's pid namespace first; (): a kernel without them
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Status":
        """Read the typed view out of `parse_status`'s fields: proc_pid_status(5).

        Raises:
            ValueError: a field that every kernel writes is missing, or one holds no number.
        """
        (threads,) = _numbers(fields, "Threads", 1)
        (no_new_privs,) = _numbers(fields, "NoNewPrivs", 1)
        require(no_new_privs in (0, 1), f"0 or 1 in NoNewPrivs, got {no_new_privs}")
        return cls(
            Ids(*_numbers(fields, "Uid", 4)),
            Ids(*_numbers(fields, "Gid", 4)),
            _numbers(fields, "Groups"),
            threads,
            no_new_privs == 1,
            _numbers(fields, "Seccomp", 1)[0] if "Seccomp" in fields else None,
            _numbers(fields, "NSpid") if "NSpid" in fields else (),
            *(_mask(fields, key) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        )


class Stat(NamedTuple):
    """The identity of a process: its pid may be used again, with another start time."""

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    num_threads: int
    starttime: int  # clock ticks after boot


def parse_status(text: str) -> dict[str, str]:
    """Parse `/proc/PID/status` into text by key; `Status.of` types it: proc_pid_status(5).

    The kernel writes a newline or backslash in Name as two characters, and so they stay.

    Raises:
        ValueError: a line has no key, or the key of a line before it.
    """
    fields: dict[str, str] = {}

    def add(line: str) -> None:
        key, value = split(line, ":", 2, "a key and ':'")
        require(key != "" and key not in fields, "a key that no line before has")
        fields[key] = value.removeprefix("\t")

    rows("status", text, add)
    return fields


def parse_stat(text: str) -> Stat:
    """Parse `/proc/PID/stat`: proc_pid_stat(5).

    The comm may hold spaces, newlines and parentheses. Only numbers follow the state, so the last
    parenthesis of the text is the one that closes it.

    Raises:
        ValueError: no comm in parentheses, too few fields, or a field that is no number.
    """
    head, _, tail = text.removesuffix("\n").rpartition(") ")
    pid, opened, comm = head.partition(" (")
    fields = tail.split(" ")
    try:
        require(opened != "" and len(fields) >= 20, "pid, (comm), state and 19 fields or more")
        state, ppid, pgrp, session = fields[:4]
        require(len(state) == 1 and state.isascii() and state.isalpha(), "a one-letter state")
        return Stat(
            number(pid, "a pid"),
            comm,
            state,
            _relative(ppid),
            _relative(pgrp),
            _relative(session),
            number(fields[17], "a number of threads"),
            number(fields[19], "a start time"),
        )
    except ValueError as error:
        raise ValueError(f"stat: {error} in {text!r}") from None


def _relative(field: str) -> int:
    # A process in its last moments has -1 for the group and session it no longer belongs to.
    return -1 if field == "-1" else number(field, "a process id or -1")


def _entry(fields: Mapping[str, str], key: str) -> str:
    require(key in fields, f"a line {key!r} in status")
    return fields[key]


def _mask(fields: Mapping[str, str], key: str) -> int:
    return number(_entry(fields, key), f"a hexadecimal mask in {key}", 16)


def _numbers(fields: Mapping[str, str], key: str, count: int | None = None) -> tuple[int, ...]:
    numbers = tuple(number(word, f"numbers in {key}") for word in words(_entry(fields, key)))
    require(count in (None, len(numbers)), f"{count} numbers in {key}, got {len(numbers)}")
    return numbers
