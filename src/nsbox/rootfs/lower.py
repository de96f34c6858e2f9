"""A `RootFS` lowered to steps: the root is built over the host's, entered, the host let go."""

import os
from collections.abc import Hashable, Iterator, Sequence

import attrs

from nsbox._native.operations import Operation
from nsbox.constants import UnmountFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs import bind, classic, files, mounts
from nsbox.rootfs.build import build, layers_of
from nsbox.rootfs.filesystem import PRIVATE
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import Mount, OverlayMount, SymlinkMount
from nsbox.rootfs.overlay import layers_of_mount
from nsbox.rootfs.python import import_state, python_mounts
from nsbox.rootfs.root import DirectoryRoot, OverlayRoot, RootFS, SystemRoot
from nsbox.rootfs.site import Site
from nsbox.rootfs.tree import point

STANDARD_MOUNTS: tuple[Mount, ...] = (Mount.proc(), Mount.dev(), Mount.tmpfs("/tmp"))


def steps(rootfs: RootFS, site: Site) -> Iterator[Step]:
    """Lower a root. Looks at the host's folders to do so, and changes nothing.

    Raises `ValueError` for a mount that has no place in the root, and `UnsupportedError`, with the
    reason, for what this host cannot do.
    """
    layout = Layout(all_mounts(rootfs, site), site)
    if not site.classic:
        yield from _steps(rootfs, layout)
        return
    classic.check(layout)
    yield from classic.by_mount(_steps(rootfs, layout))


def _steps(rootfs: RootFS, layout: Layout) -> Iterator[Step]:
    site = layout.site
    if site.own_mounts:
        yield from bind.hold(layout)
        yield PRIVATE
    staged = (
        site.classic
        or isinstance(rootfs, OverlayRoot)
        or any(isinstance(mount, mounts.STAGED) for mount in layout.mounts)
    )
    if staged:
        yield from files.stage(site)
    ready = yield from build(rootfs, layout)
    yield from mount_all(layout, ready)
    if site.own_mounts:
        yield from enter(site, staged=staged)


def mount_all(layout: Layout, ready: Sequence[Mount]) -> Iterator[Step]:
    """Mount all that is to be mounted; what is `ready` has its mount point, or is a link there."""
    for number, mount in enumerate(layout.mounts):
        if mount not in ready:
            yield from _points(mount)
        if mount not in ready or not isinstance(mount, SymlinkMount):
            yield from mounts.steps(mount, number, layout)


@attrs.frozen(cache_hash=True)
class State:
    """What the steps of a root depend on beside the root itself; while it is equal, they hold.

    `folders` are those of the host that were looked into, with the time of their last change in
    nanoseconds; `sources` tells of each that is bound whether it is a folder; `interpreter` is
    what is shown of the running one.
    """

    folders: tuple[tuple[str, int], ...] = ()
    sources: tuple[tuple[str, bool], ...] = ()
    interpreter: Hashable | None = None


def state(rootfs: RootFS) -> State | None:
    """Return what there is to tell; None where the steps must be found out each time."""
    if isinstance(rootfs, DirectoryRoot) and rootfs.readonly:
        return None
    sources = tuple((source, os.path.isdir(source)) for source in rootfs.sources)
    if not all(is_folder or os.path.exists(source) for source, is_folder in sources):
        return None
    if not isinstance(rootfs, SystemRoot):
        return State(sources=sources)
    changed = tuple(
        (folder, os.stat(folder).st_mtime_ns)
        for folder in ("/", "/etc", "/etc/ssl")
        if os.path.isdir(folder)
    )
    return State(changed, sources, import_state() if rootfs.python else None)


def work_folders(rootfs: RootFS, site: Site) -> tuple[str, ...]:
    """Return the work folders that the steps make, to be removed when the root is let go."""
    overlays = [layers_of(rootfs)] if isinstance(rootfs, OverlayRoot) else []
    for number, mount in enumerate(all_mounts(rootfs, site)):
        if isinstance(mount, OverlayMount):
            overlays.append(layers_of_mount(mount, number))
    return tuple(work for layers in overlays if (work := layers.work(site)) is not None)


def all_mounts(rootfs: RootFS, site: Site) -> tuple[Mount, ...]:
    """Return what is mounted in a root, in order: what belongs to it anyway comes first."""
    chosen = {mount.target for mount in rootfs.mounts}
    standard = [m for m in STANDARD_MOUNTS if site.standard and m.target not in chosen]
    python = python_mounts() if isinstance(rootfs, SystemRoot) and rootfs.python else ()
    return (*standard, *python, *rootfs.mounts)


def _points(mount: Mount) -> Iterator[Step]:
    """Make a mount point when its turn has come, in whatever is there by then."""
    needed = mounts.point_of(mount)
    if needed is mounts.Point.EXISTING:
        return
    parts = mount.target.strip("/").split("/")
    for depth in range(1, len(parts)):
        yield Step(Operation.MKDIRAT, (Slot.ROOT, "/".join(parts[:depth]), 0o755))
    if needed is not mounts.Point.LINK:
        folder = needed is mounts.Point.FOLDER
        yield point(Slot.ROOT, "/".join(parts), folder=folder)


def enter(site: Site, *, staged: bool) -> Iterator[Step]:
    """Take the new root for / and let go of the old one. See pivot_root(2), NOTES.

    What was stacked on the old root is stacked on the new one by then, and goes from the top down:
    anything left there would be where ``..`` leads from a folder of the new root.

    The kernel's initial file system stays below. It is covered wholly by the new root: upwards
    from that there is no mount point to come out at.
    """
    yield Step(Operation.FCHDIR, (Slot.ROOT,))
    if site.pivots:
        yield Step(Operation.PIVOT_ROOT, (".", "."))
        for _ in ("the stage", "the old root") if staged else ("the old root",):
            yield Step(Operation.UMOUNT2, (".", UnmountFlag.MNT_DETACH))
    else:
        yield Step(Operation.CHROOT, (".",))
    yield Step(Operation.CHDIR, ("/",))
