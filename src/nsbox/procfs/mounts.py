"""Mounts, and the types of file systems that can be mounted."""

import re
from typing import NamedTuple

from nsbox.procfs._lines import decode, number, require, rows, split

_OCTAL_ESCAPES = re.compile(r"(?:\\[0-3][0-7]{2})+")


class MountInfo(NamedTuple):
    """One mount as its namespace sees it: mount_namespaces(7) explains the peer groups."""

    mount_id: int
    parent_id: int
    device: tuple[int, int]  # major, minor
    root: str  # the directory of the file system that is mounted here
    mount_point: str
    options: tuple[str, ...]
    shared: int | None  # the peer group it shares events with
    master: int | None  # the peer group it receives events from
    propagate_from: int | None  # the nearest such group that the process's root can reach
    unbindable: bool
    fs_type: str
    source: str  # may be empty
    super_options: tuple[str, ...]


def parse_mountinfo(text: str) -> tuple[MountInfo, ...]:
    """Parse `/proc/PID/mountinfo`, octal escapes decoded: proc_pid_mountinfo(5).

    Raises:
        ValueError: a line is no mount; the message says which, and what it lacks.
    """
    return tuple(rows("mountinfo", text, _mount))


def parse_filesystems(text: str) -> frozenset[str]:
    """Parse `/proc/filesystems` into the names of the types: proc_filesystems(5).

    Raises:
        ValueError: a line is not "nodev" or nothing, a tab and a name.
    """
    return frozenset(rows("filesystems", text, _filesystem))


def _mount(line: str) -> MountInfo:
    *fields, rest = line.split(" ", 6)
    head, dash, tail = f" {rest}".partition(" - ")
    about = tail.split(" ", 2)
    require(len(fields) == 6 and dash != "", "six fields or more, then ' - '")
    # Some file systems leave a space of their options unescaped: the last field takes the rest.
    require(len(about) == 3, "type, source and super options after ' - '")
    mount_id, parent_id, device, root, mount_point, options = fields
    fs_type, source, super_options = about
    require("" not in (root, fs_type), "a root and a file system type")
    require(mount_point.startswith("/"), "an absolute mount point")
    major, minor = split(device, ":", 2, "a device as major:minor")
    # Tags of other kinds are to be ignored, says the manual page.
    tags = dict(tag.partition(":")[::2] for tag in head.split())
    shared, master, propagate_from = (
        number(tags[tag], f"a peer group after '{tag}:'") if tag in tags else None
        for tag in ("shared", "master", "propagate_from")
    )
    return MountInfo(
        number(mount_id, "a mount id"),
        number(parent_id, "a parent id"),
        (number(major, "a major number"), number(minor, "a minor number")),
        _unescape(root),
        _unescape(mount_point),
        _options(options),
        shared,
        master,
        propagate_from,
        "unbindable" in tags,
        _unescape(fs_type),
        _unescape(source),
        _options(super_options),
    )


def _filesystem(line: str) -> str:
    flag, name = split(line, "\t", 2, "'nodev' or nothing, a tab and a name")
    require(flag in ("", "nodev") and name != "", "'nodev' or nothing, a tab and a name")
    return name


def _options(text: str) -> tuple[str, ...]:
    # Cut first, unescape after: a comma inside of a value is written as an escape.
    return tuple(_unescape(option) for option in text.split(","))


def _unescape(text: str) -> str:
    r"""Decode \ooo; a backslash that starts no escape, as in some options, stands for itself."""
    return _OCTAL_ESCAPES.sub(
        lambda run: decode(bytes(int(octal, 8) for octal in run[0].split("\\")[1:])), text
    )
