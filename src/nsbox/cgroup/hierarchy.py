"""The cgroup hierarchies of the host, and the subsystems bound to them: cgroups(7)."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from nsbox import procfs
from nsbox.display import Displayed

UNIFIED = "unified"
"""How the one tree of cgroup v2 is called where a name is asked for."""

ROOT = Path("/")


@attrs.frozen(cache_hash=True)
class Hierarchy(Displayed):
    """One mounted tree of groups: a v1 mount, or the one of cgroup v2. A value.

    - `version`: 1 or 2.
    - `mountpoint`: the folder where the tree is seen.
    - `subsystems`: those bound to it; on v2 those that its topmost group can hand down.
    - `name`: of a named v1 hierarchy, as in ``name=systemd``.
    - `root`: the group that the mount point shows: ``/`` unless a part of the tree is mounted.
    """

    version: int
    mountpoint: str
    subsystems: frozenset[str]
    name: str | None = None
    root: str = "/"

    @property
    def keys(self) -> frozenset[str]:
        """What it can be asked for by: its subsystems, ``name=NAME``, ``unified`` for v2."""
        named = {f"name={self.name}"} if self.name is not None else set()
        return self.subsystems | named | ({UNIFIED} if self.version == 2 else set())

    def directory(self, path: str) -> str | None:
        """Return the folder of the group at `path` (as in ``/proc/PID/cgroup``), None if unseen."""
        return procfs.shown_at(self.root, self.mountpoint, path)


@attrs.frozen
class Subsystem:
    """One subsystem (controller): it is bound to exactly one hierarchy."""

    name: str
    hierarchy: Hierarchy


def hierarchies(root: Path = ROOT) -> tuple[Hierarchy, ...]:
    """List the hierarchies that are mounted and can be seen, v1 and v2 alike. Reads only.

    `root` is the folder below which ``/proc`` and the mounts are looked for.
    """
    return tuple(own_groups(root))


def subsystems(root: Path = ROOT) -> Mapping[str, Subsystem]:
    """Return the subsystems of all hierarchies by their kernel names. Reads only.

    The block device subsystem is ``blkio`` on v1 and ``io`` on v2.
    """
    found = {
        name: Subsystem(name, hierarchy)
        for hierarchy in hierarchies(root)
        for name in sorted(hierarchy.subsystems)
    }
    return MappingProxyType(found)


def own_groups(root: Path = ROOT) -> dict[Hierarchy, str]:
    """Return each hierarchy with the folder of the calling thread's own group in it.

    Of several mounts of one hierarchy the first that shows this group is taken; a hierarchy whose
    mounts do not show it is left out.
    """
    mounts = _cgroup_mounts(_read(root / "proc/self/mountinfo"))
    found = {}
    for membership in procfs.parse_cgroup(_read(root / "proc/thread-self/cgroup")):
        for mount in mounts:
            if not procfs.shows(mount, membership):
                continue
            hierarchy = _hierarchy(root, mount, membership)
            folder = hierarchy.directory(membership.path)
            if folder is not None and os.path.exists(f"{folder}/cgroup.procs"):
                found[hierarchy] = folder
                break
    return found


def groups_of(pid: int, found: tuple[Hierarchy, ...], root: Path = ROOT) -> dict[Hierarchy, str]:
    """Return the folder of a task's group in each hierarchy that shows it.

    Raises `ProcessLookupError` where there is no such task.
    """
    try:
        text = _read(root / f"proc/{pid}/cgroup")
    except FileNotFoundError:
        raise ProcessLookupError(3, os.strerror(3), str(pid)) from None
    paths = {}
    for membership in procfs.parse_cgroup(text):
        for key in membership.controllers or (f"name={membership.name}",):
            paths[key] = membership.path
        if membership.hierarchy_id == 0:
            paths[UNIFIED] = membership.path
    groups = {}
    for hierarchy in found:
        key = UNIFIED if hierarchy.version == 2 else min(hierarchy.keys)
        folder = hierarchy.directory(paths[key]) if key in paths else None
        if folder is not None:
            groups[hierarchy] = folder
    return groups


def _cgroup_mounts(text: str) -> list[procfs.MountInfo]:
    # A host may have thousands of mounts, of which these are a few: see proc_pid_mountinfo(5).
    lines = [line for line in text.split("\n") if " - cgroup" in line]
    mounts = procfs.parse_mountinfo("\n".join(lines))
    return [mount for mount in mounts if mount.fs_type in ("cgroup", "cgroup2")]


def _hierarchy(
    root: Path, mount: procfs.MountInfo, membership: procfs.CgroupMembership
) -> Hierarchy:
    version = 2 if membership.hierarchy_id == 0 else 1
    mountpoint = str(root / mount.mount_point.lstrip("/"))
    names = membership.controllers
    if version == 2:
        names = tuple(_controllers(mountpoint))
    return Hierarchy(version, mountpoint, frozenset(names), membership.name, mount.root)


def _controllers(folder: str) -> list[str]:
    try:
        with open(f"{folder}/cgroup.controllers", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def _read(path: Path) -> str:
    return procfs.decode(path.read_bytes())
