"""The cgroup hierarchies of the host, and the caller's place in each."""

from pathlib import Path, PurePosixPath

import attrs

from nsbox import procfs


@attrs.frozen
class Hierarchy:
    """One cgroup tree: its version, the subsystems bound to it, the caller's own group in it."""

    version: int
    mountpoint: str
    subsystems: frozenset[str]
    own: str


def hierarchies(root: Path = Path("/")) -> tuple[Hierarchy, ...]:
    """List the hierarchies that are mounted, v1 and v2 alike. Reads only. See cgroups(7)."""
    memberships = procfs.parse_cgroup((root / "proc/self/cgroup").read_text())
    found = []
    for mount in procfs.parse_mountinfo((root / "proc/self/mountinfo").read_text()):
        if mount.fs_type == "cgroup2":
            path = next((m.path for m in memberships if m.hierarchy_id == 0), None)
            own = _own(mount, path)
            found.append(Hierarchy(2, mount.mount_point, _controllers(root, own), own))
        elif mount.fs_type == "cgroup":
            for membership in memberships:
                names = set(membership.controllers)
                if names and names <= set(mount.super_options):
                    own = _own(mount, membership.path)
                    found.append(Hierarchy(1, mount.mount_point, frozenset(names), own))
    return tuple(found)


def _own(mount: procfs.MountInfo, path: str | None) -> str:
    """Return the folder of the caller's group; where a part of the tree is mounted, its top."""
    if path is None or not PurePosixPath(path).is_relative_to(mount.root):
        return mount.mount_point
    return str(PurePosixPath(mount.mount_point) / PurePosixPath(path).relative_to(mount.root))


def _controllers(root: Path, own: str) -> frozenset[str]:
    try:
        text = (root / own.lstrip("/") / "cgroup.controllers").read_text()
    except OSError:
        return frozenset()
    return frozenset(text.split())
