"""What of a root is alike for many boxes, and what each adds to its copy of that.

To make the root of a system takes a mount for each thing of the host's that it shows. They are made
once, in a mount namespace that nobody lives in: the template. A box joins it and makes a copy, one
system call however many mounts there are, in which it mounts what has to be its own. See
mount_namespaces(7).
"""

from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs import bind
from nsbox.rootfs.build import Ready, build, readonly_tree
from nsbox.rootfs.dev import made
from nsbox.rootfs.filesystem import PRIVATE
from nsbox.rootfs.layout import MOST_HELD, Layout
from nsbox.rootfs.lower import all_mounts, enter, mount_all
from nsbox.rootfs.mount import (
    BindMount,
    DevMount,
    DevptsMount,
    Mount,
    MqueueMount,
    ProcMount,
    TmpfsMount,
)
from nsbox.rootfs.root import RootFS, SystemRoot
from nsbox.rootfs.site import Site
from nsbox.rootfs.system import system_tree
from nsbox.rootfs.tree import Tree

_OWN = (DevMount, DevptsMount, MqueueMount, ProcMount, TmpfsMount)
"""Kinds of which each box mounts one of its own."""

_DEV = "/dev"


def has_template(rootfs: RootFS, site: Site) -> bool:
    """Whether there can be one: of a root that no box changes.

    Whatever else is mounted in it is the box's own, or is the host's: then it is taken before the
    host's mounts are out of sight, and there is room for only some of that.
    """
    found = all_mounts(rootfs, site)
    binds = [mount for mount in found if isinstance(mount, BindMount)]
    return (
        isinstance(rootfs, SystemRoot)
        and site.own_mounts
        and site.pivots
        and not site.classic
        and site.devices
        and not site.changes_user
        and all(isinstance(mount, DevMount) for mount in found if mount.target == _DEV)
        and all(isinstance(mount, (*_OWN, BindMount)) for mount in found)
        and all(mount.propagation == "private" and mount.idmap is None for mount in binds)
        and len(binds) <= MOST_HELD
    )


def is_bare(rootfs: RootFS) -> bool:
    """Whether a box mounts in its copy only what every root has: nothing that its caller chose."""
    return isinstance(rootfs, SystemRoot) and not rootfs.python and not rootfs.mounts


def make(rootfs: RootFS, site: Site) -> Iterator[Step]:
    """Lower the template."""
    yield PRIVATE
    # A box masks files with it, before its own /dev covers it.
    null = made("dev/null", beneath=Slot.ROOT)
    yield from readonly_tree(Tree(system_tree()), Layout(all_mounts(rootfs, site), site), null)
    yield from enter(site, staged=False)


def copy(rootfs: RootFS, site: Site) -> Iterator[Step]:
    """Lower a box's root as a copy of the template in `Slot.NS_MNT`."""
    layout = Layout(all_mounts(rootfs, site), site)
    yield from bind.hold(layout)
    yield Step(Operation.SETNS, (Slot.NS_MNT, "template", CloneFlag.CLONE_NEWNS))
    yield Step(Operation.UNSHARE, (CloneFlag.CLONE_NEWNS,))
    yield Step(Operation.OPEN_FOLDER, (Slot.ROOT, "/"))
    yield from mount_all(layout, _ready(build(rootfs, layout)))
    yield Step(Operation.CHDIR, ("/",))


def _ready(steps: Ready) -> list[Mount]:
    """Return what has its mount point in the template, by the end of its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)
