"""How cgroups are laid out, and whether this caller may make groups below its own: cgroups(7)."""

from typing import Literal

import attrs

from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.procfs import (
    CgroupMembership,
    MountInfo,
    parse_cgroup,
    parse_mountinfo,
    shown_at,
    shows,
)

WANTED = ("memory", "cpu", "pids")
"""The controllers without which a box has no limits worth the name."""

Layout = Literal["v1", "v2", "hybrid", "none"]


@attrs.frozen(kw_only=True)
class CgroupHierarchy:
    """One mounted tree of groups, and the caller's place in it."""

    version: Literal[1, 2]
    controllers: tuple[str, ...]  # v2: what groups below the caller's own can be given
    name: str | None
    mount_point: str
    read_only: bool
    path: str  # the caller's own group, as its cgroup file names it
    directory: str | None  # the same in the file system; None: not below the mount point
    writable: bool


@attrs.frozen(kw_only=True)
class CgroupReport(Finding):
    """The hierarchies by which tasks can be limited; `writable` ones can be given new groups."""

    layout: Layout
    hierarchies: tuple[CgroupHierarchy, ...]
    writable: bool


def cgroups(host: Host) -> CgroupReport:
    """Look for the caller's own groups, and whether it may make others below them."""
    found = _hierarchies(host)
    homes = {controller: one for one in found for controller in one.controllers}
    # Where v2 has no controller to give, its groups still serve to kill, freeze and count.
    needed = [homes[c] for c in WANTED if c in homes] or [h for h in found if h.version == 2]
    closed = [one for one in needed if not one.writable]
    absent = [controller for controller in WANTED if controller not in homes]
    layout, obstacle = _layout(found), None
    if layout == "none":
        obstacle = Obstacle(
            "no cgroup hierarchy with a controller is mounted",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or a container that shows its own",
        )
    elif closed:
        obstacle = _closed(host, closed[0])
    elif absent:
        obstacle = _absent(host, absent, layout)
    return CgroupReport(
        name="cgroups",
        detail=f"{layout}: {', '.join(homes)}" if homes else layout,
        obstacle=obstacle,
        layout=layout,
        hierarchies=found,
        writable=bool(needed) and not closed,
    )


def _hierarchies(host: Host) -> tuple[CgroupHierarchy, ...]:
    mounts = host.parse("/proc/self/mountinfo", parse_mountinfo) or ()
    found = []
    for membership in host.parse("/proc/thread-self/cgroup", parse_cgroup) or ():
        seen = [_hierarchy(host, m, membership) for m in mounts if shows(m, membership)]
        if seen:
            # Of several mounts of one hierarchy the first that can be used serves best.
            found.append(max(seen, key=lambda one: (one.writable, one.directory is not None)))
    return tuple(found)


def _hierarchy(host: Host, mount: MountInfo, membership: CgroupMembership) -> CgroupHierarchy:
    version: Literal[1, 2] = 2 if membership.hierarchy_id == 0 else 1
    controllers = membership.controllers
    directory = shown_at(mount.root, mount.mount_point, membership.path)
    if directory is not None and not host.has(directory):
        directory = None
    if version == 2 and directory is not None:
        controllers = tuple((host.read(f"{directory}/cgroup.controllers") or "").split())
    return CgroupHierarchy(
        version=version,
        controllers=controllers,
        name=membership.name,
        mount_point=mount.mount_point,
        read_only="ro" in (mount.options[0], mount.super_options[0]),
        path=membership.path,
        directory=directory,
        writable=directory is not None and _may_delegate(host, directory, version),
    )


def _may_delegate(host: Host, directory: str, version: int) -> bool:
    """Whether the caller may make groups in a directory and put its tasks there.

    v2 asks also for the two files by which tasks move and controllers are handed down: see
    "Cgroups v2 delegation" in cgroups(7). In v1 the new group's own files decide.
    """
    files = ("", "/cgroup.procs", "/cgroup.subtree_control") if version == 2 else ("",)
    return all(host.may_write(host.path(directory + file)) for file in files)


def _layout(found: tuple[CgroupHierarchy, ...]) -> Layout:
    v1 = any(one.version == 1 and one.controllers for one in found)
    v2 = any(one.version == 2 for one in found)
    if v1:
        return "hybrid" if v2 else "v1"
    return "v2" if v2 else "none"


def _closed(host: Host, one: CgroupHierarchy) -> Obstacle:
    if one.directory is None:
        return Obstacle(
            f"the caller's own group {one.path} is not to be seen below {one.mount_point}",
            "give the container a cgroup namespace: docker run --cgroupns=private",
        )
    if one.read_only:
        return Obstacle(
            f"{one.mount_point} is mounted read only",
            "docker run --security-opt writable-cgroups=true (Docker 28 or newer), "
            "podman run --security-opt unmask=/sys/fs/cgroup",
        )
    remedy = _delegation(host) if one.version == 2 else _made_by_root(host)
    return Obstacle(f"the caller may not make groups in {one.directory}", remedy)


def _absent(host: Host, absent: list[str], layout: Layout) -> Obstacle:
    names = ", ".join(absent)
    if layout == "v2":
        return Obstacle(f"the caller's own group is without {names}", _delegation(host))
    return Obstacle(
        f"no mounted hierarchy has {names}",
        "mount the controller, or boot with cgroup_enable= if /proc/cgroups shows it disabled",
    )


def _delegation(host: Host) -> str:
    """Say how to get a v2 group of one's own: the systemd manual, resource-control(5)."""
    if host.has("/run/systemd/system"):
        user = "" if host.uid == 0 else "--user "
        return f"systemd-run {user}--scope -p Delegate=yes PROGRAM"
    return "as root: make a group, chown it with its cgroup.* files, start the program in it"


def _made_by_root(host: Host) -> str:
    user, groups = host.login or host.uid, f"{','.join(WANTED)}:nsbox"
    return (
        f"as root: cgcreate -a {user} -t {user} -g {groups}, then cgexec -g {groups} PROGRAM; "
        "or boot with systemd.unified_cgroup_hierarchy=1"
    )
