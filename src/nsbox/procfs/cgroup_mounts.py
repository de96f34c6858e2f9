"""Where a task's group of a hierarchy is to be seen: its membership held against a mount."""

from nsbox.procfs.cgroups import CgroupMembership
from nsbox.procfs.mounts import MountInfo


def shows(mount: MountInfo, membership: CgroupMembership) -> bool:
    """Whether a mount is of a hierarchy: v1 ones show their controllers among their options.

    See cgroups(7), "Mounting v1 controllers".
    """
    if membership.hierarchy_id == 0:
        return mount.fs_type == "cgroup2"
    options = {*membership.controllers, *([f"name={membership.name}"] if membership.name else [])}
    return mount.fs_type == "cgroup" and options <= {*mount.super_options}


def shown_at(root: str, mount_point: str, path: str) -> str | None:
    """Return where a mount shows the group at `path`, or None if it shows only other groups.

    A container's mount starts at a group of the host (its `root`), while the task's path starts
    at the root of its cgroup namespace; "/.." in either leads out of what has a name here. See
    cgroup_namespaces(7).
    """
    root = root.rstrip("/")
    if path != root and not path.startswith(f"{root}/"):
        return None
    below = path.removeprefix(root).rstrip("/")
    return None if ".." in below.split("/") else mount_point.rstrip("/") + below
