"""A `RootFS` lowered to steps: the root is built over the host's, entered, the host let go."""

import os
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, MountAttribute, Propagation, UnmountFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs import mounts
from nsbox.rootfs.mount import BindMount, FileMount, Mount
from nsbox.rootfs.root import RootFS
from nsbox.rootfs.system import system_tree
from nsbox.rootfs.tree import Bind, Folder, Tree, clone_tree, is_host_folder, point

STANDARD_MOUNTS: tuple[Mount, ...] = (Mount.proc(), Mount.dev(), Mount.tmpfs("/tmp"))

_QUIET = MountAttribute.MOUNT_ATTR_NOSUID | MountAttribute.MOUNT_ATTR_NODEV
_PRIVATE = Propagation.MS_PRIVATE
_HERE = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE


def steps(rootfs: RootFS) -> Iterator[Step]:
    """Lower a root. Looks at the host's folders to do so, and changes nothing."""
    chosen = {mount.target for mount in rootfs.mounts}
    all_mounts = [m for m in STANDARD_MOUNTS if m.target not in chosen] + list(rootfs.mounts)
    tree = Tree(system_tree() if rootfs.path is None else Bind(os.path.abspath(rootfs.path)))
    in_tree = _mount_points(rootfs, tree, all_mounts)

    # Nothing that is mounted here may reach the host, or the host's later mounts us.
    yield Step(Operation.MOUNT_SETATTR, (Slot.CWD, "/", AtFlag.AT_RECURSIVE, 0, 0, _PRIVATE))
    if any(isinstance(mount, FileMount) for mount in all_mounts):
        yield from mounts.stage()
    yield from _root(tree, readonly=rootfs.readonly)
    for number, mount in enumerate(all_mounts):
        if mount not in in_tree:
            yield from _points_below(mount)
        yield from mounts.steps(mount, number)
    yield from _enter()


def _mount_points(rootfs: RootFS, tree: Tree, all_mounts: list[Mount]) -> list[Mount]:
    """Make room in the tree for what is mounted on the tree itself; return those mounts.

    The others get their mount points as they are mounted: inside an earlier mount, or in a root
    that may be written to.
    """
    if not rootfs.readonly or not _is_there(tree.root):
        return []
    return [m for m in all_mounts if tree.mount_point(m.target, folder=_mounts_a_folder(m))]


def _is_there(root: Folder | Bind) -> bool:
    """Whether there is a root to look at; if not, the step that takes it will fail and say so."""
    return isinstance(root, Folder) or os.path.isdir(root.source)


def _mounts_a_folder(mount: Mount) -> bool:
    if isinstance(mount, BindMount):
        return is_host_folder(mount.source)
    return not isinstance(mount, FileMount)


def _points_below(mount: Mount) -> Iterator[Step]:
    """Make a mount point when its turn has come, in whatever is there by then."""
    parts = mount.target.strip("/").split("/")
    for depth in range(1, len(parts)):
        yield Step(Operation.MKDIRAT, (Slot.ROOT, "/".join(parts[:depth]), 0o755))
    yield point("/".join(parts), folder=_mounts_a_folder(mount))


def _root(tree: Tree, *, readonly: bool) -> Iterator[Step]:
    """Build the root in `Slot.ROOT`, mounted over the old one."""
    attributes = _QUIET | (MountAttribute.MOUNT_ATTR_RDONLY if readonly else 0)
    freeze = Step(Operation.MOUNT_SETATTR, (Slot.ROOT, "", _HERE, attributes, 0, 0))
    mount = Step(Operation.MOVE_MOUNT, (Slot.ROOT, Slot.CWD, "/"))
    if isinstance(tree.root, Bind):
        yield clone_tree(tree.root.source, recursive=True, into=Slot.ROOT)
        yield freeze
        yield mount
    else:
        yield from mounts.new_tmpfs(Slot.ROOT, mode=tree.root.mode)
        yield mount
        yield from tree.steps()
        yield freeze


def _enter() -> Iterator[Step]:
    """Take the new root for / and let go of the old one. See pivot_root(2), NOTES."""
    yield Step(Operation.FCHDIR, (Slot.ROOT,))
    yield Step(Operation.PIVOT_ROOT, (".", "."))
    yield Step(Operation.UMOUNT2, (".", UnmountFlag.MNT_DETACH))
    yield Step(Operation.CHDIR, ("/",))
