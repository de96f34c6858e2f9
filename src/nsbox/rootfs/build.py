"""Each kind of `RootFS` lowered to the steps that make it, in `Slot.ROOT`, mounted at its place."""

import functools
import os
from collections.abc import Generator, Iterable, Iterator, Sequence

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, MountAttribute, Propagation
from nsbox.plan import Slot, Step
from nsbox.rootfs import overlay
from nsbox.rootfs.filesystem import NODEV, NOSUID, NOTHING, RDONLY, new_tmpfs
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import Mount, SymlinkMount
from nsbox.rootfs.mounts import Point, point_of
from nsbox.rootfs.root import DirectoryRoot, EmptyRoot, OverlayRoot, RootFS, SystemRoot
from nsbox.rootfs.site import Site
from nsbox.rootfs.system import system_tree
from nsbox.rootfs.tree import Bind, Folder, Tree, clone_tree

Ready = Generator[Step, None, list[Mount]]
"""Steps, and in the end the mounts that have their mount points by then."""

_BENEATH = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE


@functools.singledispatch
def build(rootfs: RootFS, layout: Layout) -> Ready:
    """Lower a root, with room for what is to be mounted in it.

    The other mounts get their mount points as they are mounted: inside an earlier mount, or in a
    root that may be written to.
    """
    raise TypeError(f"no steps for {rootfs!r}")


@build.register
def _system(rootfs: SystemRoot, layout: Layout) -> Ready:
    return readonly_tree(Tree(system_tree()), layout)


@build.register
def _empty(rootfs: EmptyRoot, layout: Layout) -> Ready:
    return readonly_tree(Tree(Folder()), layout)


@build.register
def _directory(rootfs: DirectoryRoot, layout: Layout) -> Ready:
    bind = Bind(os.path.abspath(rootfs.path))
    # One that is missing is not looked at: the step that takes it will fail and say so.
    if rootfs.readonly and os.path.isdir(bind.source):
        return (yield from readonly_tree(Tree(bind), layout))
    yield from _bound(bind, layout.site, RDONLY if rootfs.readonly else NOTHING)
    return []


@build.register
def _overlay(rootfs: OverlayRoot, layout: Layout) -> Ready:
    points = _overlay_points(layout.mounts)
    yield from overlay.steps(layers_of(rootfs), Slot.ROOT, layout.site, points=points)
    yield Step(Operation.MOVE_MOUNT, (Slot.ROOT, Slot.CWD, layout.site.place))
    return []


def layers_of(rootfs: OverlayRoot) -> overlay.Layers:
    """Return the layers of an overlay that is a root."""
    return overlay.Layers(rootfs.lowers, rootfs.upper, name="root")


def _overlay_points(wanted: Sequence[Mount]) -> Iterator[tuple[str, bool]]:
    """Give the mount points, and whether they are folders: in a layer below all others.

    So what the box has written, the upper layer, holds none of them.
    """
    for mount in wanted:
        if (needed := point_of(mount)) in (Point.FOLDER, Point.FILE):
            yield mount.target.lstrip("/"), needed is Point.FOLDER


def readonly_tree(tree: Tree, layout: Layout, beside: Iterable[Step] = ()) -> Ready:
    """Lower a tree that nobody writes to any longer; `beside` is what else is made in it."""
    ready = [mount for mount in layout.mounts if _has_room(tree, mount)]
    if isinstance(tree.root, Bind):
        yield from _bound(tree.root, layout.site, RDONLY)
        return ready
    yield from new_tmpfs(Slot.ROOT, mode=tree.root.mode)
    yield Step(Operation.MOVE_MOUNT, (Slot.ROOT, Slot.CWD, layout.site.place))
    yield from tree.steps()
    yield from beside
    yield _restrict(RDONLY)
    return ready


def _has_room(tree: Tree, mount: Mount) -> bool:
    """Make room in the tree for what is mounted on the tree itself."""
    needed = point_of(mount)
    if isinstance(mount, SymlinkMount):
        return tree.link(mount.target, mount.to)
    if needed is Point.EXISTING:
        return True
    return tree.mount_point(mount.target, folder=needed is Point.FOLDER)


def _bound(bind: Bind, site: Site, attributes: MountAttribute) -> Iterator[Step]:
    yield clone_tree(bind.source, recursive=True, into=Slot.ROOT)
    yield _restrict(attributes)
    yield Step(Operation.MOVE_MOUNT, (Slot.ROOT, Slot.CWD, site.place))


def _restrict(attributes: MountAttribute) -> Step:
    """Restrict the root, with all that is mounted below it by then."""
    attributes |= NOSUID | NODEV
    private = Propagation.MS_PRIVATE
    return Step(Operation.MOUNT_SETATTR, (Slot.ROOT, "", _BENEATH, attributes, 0, private))
