"""Whether the caller can have more ids than its own in a user namespace."""

import os
import stat
from pathlib import Path

from nsbox.constants import Capability
from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.procfs import SubID, parse_subid

_PROGRAMS = ("newuidmap", "newgidmap")
_FILES = ("/etc/subuid", "/etc/subgid")
_MAP_ANY = Capability.CAP_SETUID | Capability.CAP_SETGID


def newuidmap(host: Host) -> Finding:
    """Look for newuidmap(1) and newgidmap(1), their privileges, and the ranges of subuid(5)."""
    if host.capabilities & _MAP_ANY == _MAP_ANY:
        return Finding("newuidmap", "not needed with CAP_SETUID and CAP_SETGID")
    obstacle = _programs(host)
    if obstacle:
        return Finding("newuidmap", "not usable", obstacle)
    if source := _other_source(host):
        return Finding("newuidmap", f"ranges come from {source}: see nsswitch.conf(5)")
    try:
        ranges = [_ranges(host, file) for file in _FILES]
    except ValueError as error:
        unread = Obstacle(str(error), f"correct {_FILES[0]} or {_FILES[1]}: see subuid(5)")
        return Finding("newuidmap", "ranges unknown", unread)
    if not all(ranges):
        return Finding("newuidmap", "no ranges", _no_ranges(host, ranges))
    uids, gids = (", ".join(_span(subid) for subid in found) for found in ranges)
    return Finding("newuidmap", f"uids {uids}; gids {gids}")


def _programs(host: Host) -> Obstacle | None:
    for program in _PROGRAMS:
        path = _which(host, program)
        if path is None:
            return Obstacle(
                f"{program} is not on PATH",
                "install it: the package is uidmap on Debian, shadow-utils on Fedora",
            )
        if not _is_privileged(path):
            return Obstacle(
                f"{program} has neither the setuid bit nor file capabilities",
                "reinstall its package: uidmap on Debian, shadow-utils on Fedora",
            )
    if host.no_new_privs:
        return Obstacle(
            "no_new_privs is set on the caller, so newuidmap would gain no privilege",
            "start the caller without it, as in: docker run --security-opt no-new-privileges=false",
        )
    return None


def _which(host: Host, program: str) -> Path | None:
    # Not shutil.which, which knows no root but the real one.
    for folder in host.search_path.split(os.pathsep):
        path = host.path(folder) / program
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _is_privileged(path: Path) -> bool:
    """Whether a program gains privileges when it is started: execve(2), capabilities(7)."""
    try:
        if path.stat().st_mode & stat.S_ISUID:
            return True
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _other_source(host: Host) -> str | None:
    """Return whence the ranges come where `/etc/nsswitch.conf` names no files for them."""
    for line in (host.read("/etc/nsswitch.conf") or "").split("\n"):
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() == "subid" and "files" not in sources.split():
            return sources.strip()
    return None


def _ranges(host: Host, file: str) -> list[SubID]:
    owners = (host.login, str(host.uid))
    return [subid for subid in parse_subid(host.read(file) or "") if subid.owner in owners]


def _no_ranges(host: Host, ranges: list[list[SubID]]) -> Obstacle:
    lacking = " and ".join(file for file, found in zip(_FILES, ranges, strict=True) if not found)
    user, span = host.login or host.uid, "100000-165535"
    return Obstacle(
        f"{lacking} grants no range to {user}",
        f"usermod --add-subuids {span} --add-subgids {span} {user}",
    )


def _span(subid: SubID) -> str:
    return f"{subid.start}-{subid.start + subid.count - 1}"
