"""Files and folders of the host shown in a box: open_tree(2), mount_setattr(2)."""

import contextlib
import os
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import AtFlag, Propagation
from nsbox.errors import UnsupportedError
from nsbox.namespace.create import create_with_ranges
from nsbox.plan import Slot, Step
from nsbox.rootfs.filesystem import NODEV, NOEXEC, NOSUID, NOTHING, RDONLY, attach
from nsbox.rootfs.layout import Layout, idmap_slots
from nsbox.rootfs.mount import BindMount, Mount
from nsbox.rootfs.tree import clone_tree

_BENEATH = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE
_PROPAGATION = {
    "private": Propagation.MS_PRIVATE,
    "slave": Propagation.MS_SLAVE,
    "shared": Propagation.MS_SHARED,
}


def steps(mount: BindMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a bind whose mount point is there."""
    slot = layout.held().get(number)
    if slot is None:
        slot = Slot.TREE
        yield from _take(mount, slot, layout)
    yield attach(slot, mount.target)


def hold(layout: Layout) -> Iterator[Step]:
    """Take the binds that are to stay peers of the host's, while the box's copies still are."""
    for number, slot in layout.held().items():
        mount = layout.mounts[number]
        assert isinstance(mount, BindMount)
        yield from _take(mount, slot, layout)


def _take(mount: BindMount, slot: Slot, layout: Layout) -> Iterator[Step]:
    wishes = (
        (RDONLY, mount.readonly),
        (NOSUID, mount.nosuid),
        (NODEV, mount.nodev),
        (NOEXEC, mount.noexec),
    )
    attributes = NOTHING
    for attribute, wished in wishes:
        attributes |= attribute if wished else NOTHING
    yield clone_tree(os.path.abspath(mount.source), recursive=mount.recursive, into=slot)
    if mount.idmap is not None:
        if layout.site.own_users:
            raise UnsupportedError(
                "idmap: takes CAP_SYS_ADMIN on the host, and the box is built in a user namespace: "
                "as root, without one, it can be had"
            )
        yield Step(Operation.MAP_IDS, (slot, layout.idmaps()[mount.idmap]))
    propagation = _PROPAGATION[mount.propagation]
    yield Step(Operation.MOUNT_SETATTR, (slot, "", _BENEATH, attributes, 0, propagation))


@contextlib.contextmanager
def idmaps(mounts: tuple[Mount, ...]) -> Iterator[dict[int, int]]:
    """Make the user namespaces that these mounts are mapped by; as descriptors, by slot.

    Only their maps count: nobody is ever in them. Raises `UnsupportedError` where the caller may
    not map these ids.
    """
    with contextlib.ExitStack() as stack:
        made: dict[int, int] = {}
        for id_map, slot in idmap_slots(mounts).items():
            made[slot] = create_with_ranges(id_map, Caller.current())
            stack.callback(os.close, made[slot])
        yield made
