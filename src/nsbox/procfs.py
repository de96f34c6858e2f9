"""What the kernel writes in `/proc`, as values: text in, frozen tuples out, no I/O.

Three habits of the kernel shape every parser here. It escapes as little as it must, so a name may
hold any other byte: lines end at "\\n" alone and fields at the one character the manual names
(`str.splitlines` and a bare `str.split` would also cut at a form feed or a Unicode space). Names
are bytes, and `decode` loses none of them. And a field may be empty, as a mount's source is.

A text that breaks its format raises `ValueError` with the line and what was expected there; what
newer kernels add where the manual announces additions is passed over.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

__all__ = [
    "CgroupMembership",
    "Controller",
    "IDMapLine",
    "Ids",
    "MountInfo",
    "Stat",
    "Status",
    "SubID",
    "decode",
    "parse_cgroup",
    "parse_controllers",
    "parse_filesystems",
    "parse_id_map",
    "parse_mountinfo",
    "parse_stat",
    "parse_status",
    "parse_subid",
]

_Row = TypeVar("_Row")

_OCTAL_ESCAPES = re.compile(r"(?:\\[0-3][0-7]{2})+")
_ID_LIMIT = 2**32  # uid_t and gid_t; user_namespaces(7) maps lengths of the same type


class MountInfo(NamedTuple):
    """One mount as its namespace sees it; see `parse_mountinfo`."""

    mount_id: int
    parent_id: int
    device: tuple[int, int]  # major, minor
    root: str
    mount_point: str
    options: tuple[str, ...]
    shared: int | None  # the peer group it shares events with
    master: int | None  # the peer group it receives them from
    propagate_from: int | None  # the nearest such group below the process's root
    unbindable: bool
    fs_type: str
    source: str
    super_options: tuple[str, ...]


class CgroupMembership(NamedTuple):
    """The one group of one hierarchy that a task is in; hierarchy 0 is cgroup v2."""

    hierarchy_id: int
    controllers: tuple[str, ...]
    name: str | None  # of a named v1 hierarchy, as in name=systemd
    path: str


class Controller(NamedTuple):
    """One controller the kernel was built with, and the hierarchy it is bound to."""

    name: str
    hierarchy_id: int  # 0: bound to cgroup v2, or to none
    num_cgroups: int
    enabled: bool


class Ids(NamedTuple):
    """The four user (or group) ids of a task, in the order of its status file."""

    real: int
    effective: int
    saved: int
    filesystem: int


class Status(NamedTuple):
    """What decides a task's privileges; the capability sets are bit masks."""

    uids: Ids
    gids: Ids
    groups: tuple[int, ...]
    threads: int
    no_new_privs: bool
    seccomp: int | None  # 0 off, 1 strict, 2 filter; None: a kernel without seccomp
    nspid: tuple[int, ...]  # outermost pid namespace first; (): a kernel without them
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Status":
        """Read the typed view out of `parse_status`'s fields; `ValueError` where one is amiss."""

        def masks(*keys: str) -> list[int]:
            return [_number(_entry(fields, key), f"{key} as a hexadecimal mask", 16) for key in keys]

        return cls(
            Ids(*_numbers(fields, "Uid", 4)),
            Ids(*_numbers(fields, "Gid", 4)),
            _numbers(fields, "Groups"),
            _numbers(fields, "Threads", 1)[0],
            _numbers(fields, "NoNewPrivs", 1)[0] == 1,
            _numbers(fields, "Seccomp", 1)[0] if "Seccomp" in fields else None,
            _numbers(fields, "NSpid") if "NSpid" in fields else (),
            *masks("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"),
        )


class Stat(NamedTuple):
    """The identity of a process: a pid together with its start time is never used twice."""

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    num_threads: int
    starttime: int  # clock ticks after boot


class IDMapLine(NamedTuple):
    """`count` ids from `inside` on are those from `outside` on in the parent namespace."""

    inside: int
    outside: int
    count: int


class SubID(NamedTuple):
    """`count` subordinate ids from `start` on, granted to `owner`: a login name or a uid."""

    owner: str
    start: int
    count: int


def decode(data: bytes) -> str:
    """Turn a file's bytes into text that keeps every byte and every line end.

    Text mode would do neither: it refuses bytes that are no UTF-8, and makes "\\n" of "\\r".
    """
    return data.decode("utf-8", "surrogateescape")


def parse_mountinfo(text: str) -> tuple[MountInfo, ...]:
    """Parse `/proc/PID/mountinfo`, octal escapes decoded: proc_pid_mountinfo(5)."""
    return tuple(_rows("mountinfo", text, _mount))


def parse_cgroup(text: str) -> tuple[CgroupMembership, ...]:
    """Parse `/proc/PID/cgroup`: cgroups(7).

    The path stays as written. The kernel adds " (deleted)" to that of a removed v2 group, and a
    group may bear a name that ends so: text alone cannot tell the two apart.
    """
    return tuple(_rows("cgroup", text, _membership))


def parse_controllers(text: str) -> tuple[Controller, ...]:
    """Parse `/proc/cgroups`: cgroups(7)."""
    return tuple(row for row in _rows("cgroups", text, _controller) if row is not None)


def parse_status(text: str) -> dict[str, str]:
    """Parse `/proc/PID/status` into its fields as text; `Status.of` types them: proc_pid_status(5).

    "\\n" and "\\\\" in the value of Name stay the two characters that the kernel writes.
    """
    fields: dict[str, str] = {}
    for key, value in _rows("status", text, _field):
        if fields.setdefault(key, value) is not value:
            raise ValueError(f"status: expected {key!r} once, got it again with {value!r}")
    return fields


def parse_stat(text: str) -> Stat:
    """Parse `/proc/PID/stat`: proc_pid_stat(5).

    The comm may hold spaces, newlines and parentheses. Only numbers follow the state, so the last
    parenthesis of the text is the one that closes it.
    """
    head, _, tail = text.removesuffix("\n").rpartition(") ")
    pid, opened, comm = head.partition(" (")
    fields = tail.split(" ")
    try:
        _require(bool(opened) and len(fields) >= 20, "pid (comm) state and 19 fields or more")
        state, ppid, pgrp, session = fields[:4]
        _require(len(state) == 1 and state.isascii() and state.isalpha(), "a one-letter state")
        # A process in its last moments has -1 for the groups it no longer belongs to.
        parent, group, leader = (
            -1 if field == "-1" else _number(field, "a process id or -1")
            for field in (ppid, pgrp, session)
        )
        threads, starttime = _number(fields[17], "num_threads"), _number(fields[19], "starttime")
        return Stat(_number(pid, "a pid"), comm, state, parent, group, leader, threads, starttime)
    except ValueError as error:
        raise ValueError(f"stat: {error} in {text!r}") from None


def parse_id_map(text: str) -> tuple[IDMapLine, ...]:
    """Parse `/proc/PID/uid_map` or `gid_map`: user_namespaces(7)."""
    return tuple(_rows("id map", text, _id_map_line))


def parse_subid(text: str) -> tuple[SubID, ...]:
    """Parse `/etc/subuid` or `/etc/subgid`, comments and blank lines left out: subuid(5)."""
    return tuple(row for row in _rows("subordinate ids", text, _subid) if row is not None)


def parse_filesystems(text: str) -> frozenset[str]:
    """Parse `/proc/filesystems` into the names of the types: proc_filesystems(5)."""
    return frozenset(_rows("filesystems", text, _filesystem))


def _mount(line: str) -> MountInfo:
    head, dash, tail = line.partition(" - ")
    fields, about = head.split(" "), tail.split(" ", 2)
    _require(len(fields) >= 6 and bool(dash), "six fields or more, then ' - '")
    # Some file systems leave a space of their options unescaped: the last field takes the rest.
    _require(len(about) == 3, "type, source and super options after ' - '")
    mount_id, parent_id, device, root, mount_point, options = fields[:6]
    major, colon, minor = device.partition(":")
    _require(bool(colon), "a device as major:minor")
    _require(bool(root and about[0]), "a root and a file system type")
    _require(mount_point.startswith("/"), "an absolute mount point")
    # Tags of kinds yet unknown are to be ignored, says the manual page.
    tags = dict(tag.partition(":")[::2] for tag in fields[6:])
    shared, master, dominating = (
        _number(tags[tag], f"a peer group after {tag}:") if tag in tags else None
        for tag in ("shared", "master", "propagate_from")
    )
    return MountInfo(
        _number(mount_id, "a mount id"),
        _number(parent_id, "a parent id"),
        (_number(major, "a major number"), _number(minor, "a minor number")),
        _unescape(root),
        _unescape(mount_point),
        _options(options),
        shared,
        master,
        dominating,
        "unbindable" in tags,
        _unescape(about[0]),
        _unescape(about[1]),
        _options(about[2]),
    )


def _membership(line: str) -> CgroupMembership:
    number, controllers, path = _split(line, ":", 3, "hierarchy-ID:controller-list:path")
    hierarchy_id = _number(number, "a hierarchy id")
    # The kernel lists a hierarchy's name after its controllers, so it is the last if there is one.
    *subsystems, last = controllers.split(",")
    name = last.removeprefix("name=") if last.startswith("name=") else None
    if name is None and controllers:
        subsystems.append(last)
    _require(all(subsystems) and name != "", "controllers and names that are not empty")
    _require((hierarchy_id == 0) is (controllers == ""), "controllers or a name in v1, none in v2")
    _require(path.startswith("/"), "a path that starts with '/'")
    return CgroupMembership(hierarchy_id, tuple(subsystems), name, path)


def _controller(line: str) -> Controller | None:
    if line.startswith("#"):
        return None
    name, hierarchy, groups, enabled = _split(line, "\t", 4, "name, hierarchy, count and 0 or 1")
    _require(bool(name) and enabled in ("0", "1"), "a controller's name, and 0 or 1 for enabled")
    hierarchy_id, num_cgroups = _number(hierarchy, "a hierarchy id"), _number(groups, "a count")
    return Controller(name, hierarchy_id, num_cgroups, enabled == "1")


def _field(line: str) -> tuple[str, str]:
    key, value = _split(line, ":\t", 2, "a key, ':' and a tab")
    _require(bool(key), "a key before ':'")
    return key, value


def _id_map_line(line: str) -> IDMapLine:
    fields = line.split()
    _require(len(fields) == 3, "three numbers: inside, outside, count")
    inside, outside, count = (_number(field, "an id or a count") for field in fields)
    _require(count > 0, "a count of one or more")
    _require(max(inside, outside) + count <= _ID_LIMIT, "ids below 2**32")
    return IDMapLine(inside, outside, count)


def _subid(line: str) -> SubID | None:
    if not line.strip() or line.startswith("#"):
        return None
    owner, start, count = _split(line, ":", 3, "owner:start:count")
    _require(bool(owner), "an owner before the first ':'")
    return SubID(owner, _number(start, "a first id"), _number(count, "a count"))


def _filesystem(line: str) -> str:
    flag, name = _split(line, "\t", 2, "'nodev' or nothing, a tab and a name")
    _require(flag in ("", "nodev") and bool(name), "'nodev' or nothing, a tab and a name")
    return name


def _rows(file: str, text: str, parse: Callable[[str], _Row]) -> list[_Row]:
    """Apply `parse` to each line, and let its complaint say which one it was."""
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        try:
            rows.append(parse(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error} in {line!r}") from None
    return rows


def _require(condition: bool, expected: str) -> None:
    if not condition:
        raise ValueError(f"expected {expected}")


def _split(line: str, separator: str, count: int, expected: str) -> list[str]:
    """Cut into exactly `count` parts, the last of which may hold the separator."""
    parts = line.split(separator, count - 1)
    _require(len(parts) == count, expected)
    return parts


def _number(text: str, expected: str, base: int = 10) -> int:
    """Read digits and nothing else: `int` would take signs, underscores, spaces and other scripts."""
    digits = "0123456789abcdef"[:base]
    _require(bool(text) and not text.strip(digits), f"{expected}, got {text!r}")
    return int(text, base)


def _entry(fields: Mapping[str, str], key: str) -> str:
    _require(key in fields, f"a line {key!r}")
    return fields[key]


def _numbers(fields: Mapping[str, str], key: str, count: int | None = None) -> tuple[int, ...]:
    numbers = tuple(_number(word, f"numbers in {key}") for word in _entry(fields, key).split())
    _require(count in (None, len(numbers)), f"{count} numbers in {key}, got {len(numbers)}")
    return numbers


def _options(text: str) -> tuple[str, ...]:
    # Cut first, unescape after: a comma inside of a value is written as an escape.
    return tuple(_unescape(option) for option in text.split(","))


def _unescape(text: str) -> str:
    """Decode \\ooo; a backslash that starts no escape, as in some options, stands for itself."""
    return _OCTAL_ESCAPES.sub(
        lambda run: decode(bytes(int(octal, 8) for octal in run[0].split("\\")[1:])), text
    )
