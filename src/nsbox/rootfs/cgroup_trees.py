"""The cgroup trees, read only, as the box's cgroup namespace shows them. See cgroups(7)."""

from collections.abc import Iterator

from nsbox import procfs
from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step
from nsbox.procfs import CgroupMembership
from nsbox.rootfs.filesystem import (
    NODEV,
    NOEXEC,
    NOSUID,
    RDONLY,
    Options,
    attach,
    new_mount,
    new_tmpfs,
)
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import CgroupMount
from nsbox.rootfs.tree import point

_ATTRIBUTES = NOSUID | NODEV | NOEXEC | RDONLY


def cgroup(mount: CgroupMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower the trees that the calling process is in: those are all that there are."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        memberships = procfs.parse_cgroup(file.read())
    yield from trees(mount.target, memberships)


def trees(target: str, memberships: tuple[CgroupMembership, ...]) -> Iterator[Step]:
    """Lower one tree for v2 alone, else a folder with one for each hierarchy."""
    if all(membership.hierarchy_id == 0 for membership in memberships):
        yield from new_mount("cgroup2", Slot.TREE, {}, _ATTRIBUTES)
        yield attach(Slot.TREE, target)
        return
    yield from new_tmpfs(Slot.MOUNT, mode=0o755, attributes=NOSUID | NODEV | NOEXEC)
    yield attach(Slot.MOUNT, target)
    for membership in sorted(memberships, key=lambda membership: membership.hierarchy_id):
        name = folder_of(membership)
        yield point(Slot.MOUNT, name, folder=True)
        fs_type = "cgroup" if membership.hierarchy_id else "cgroup2"
        yield from new_mount(fs_type, Slot.TREE, _options(membership), _ATTRIBUTES)
        yield attach(Slot.TREE, name, beneath=Slot.MOUNT)
        for controller in membership.controllers if "," in name else ():
            yield Step(Operation.SYMLINKAT, (name, Slot.MOUNT, controller))
    yield Step(Operation.MOUNT_SETATTR, (Slot.MOUNT, "", AtFlag.AT_EMPTY_PATH, RDONLY, 0, 0))


def folder_of(membership: CgroupMembership) -> str:
    """Return what a hierarchy's folder is called on a v1 or hybrid host."""
    if membership.hierarchy_id == 0:
        return "unified"
    return ",".join(membership.controllers) or membership.name or ""


def _options(membership: CgroupMembership) -> Options:
    """Say which hierarchy is meant: mounted once more, none is made."""
    if membership.hierarchy_id == 0:
        return {}
    options: dict[str, str | None] = dict.fromkeys(membership.controllers)
    if not options:
        options["none"] = None
    if membership.name is not None:
        options["name"] = membership.name
    return options
