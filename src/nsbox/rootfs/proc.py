"""/proc, and what of it is hidden or read only. See proc(5)."""

import os
from collections.abc import Iterator

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step
from nsbox.rootfs.filesystem import NODEV, NOEXEC, NOSUID, RDONLY, attach, new_mount
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import MaskedMount, ProcMount, ReadonlyMount

MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list")
"""Entries of /proc that tell of the host; they look empty. What container engines mask."""

READONLY = ("bus", "fs", "irq", "pressure", "sys", "sysrq-trigger")
"""Entries of /proc that set what the whole host goes by; they can only be read.

What is written to those in pressure has the kernel watch the whole host for the writer.
"""


def proc(mount: ProcMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a /proc; work in it is done by its own descriptor, whatever its name leads to."""
    options: dict[str, str | None] = {}
    if mount.hidepid != "off":
        options["hidepid"] = mount.hidepid
    if mount.subset is not None:
        options["subset"] = mount.subset
    yield from new_mount("proc", Slot.MOUNT, options, NOSUID | NODEV | NOEXEC)
    yield attach(Slot.MOUNT, mount.target)
    if mount.subset is not None:
        return  # nothing else is in it
    for name in MASKED:
        if os.path.lexists(f"/proc/{name}"):
            yield _mask(Slot.MOUNT, name)
    for name in READONLY:
        if os.path.lexists(f"/proc/{name}"):
            yield from _make_readonly(Slot.MOUNT, name)


def masked(mount: MaskedMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a mask."""
    yield _mask(Slot.ROOT, mount.target.lstrip("/"))


def readonly(mount: ReadonlyMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower a path that can only be read."""
    yield from _make_readonly(Slot.ROOT, mount.target.lstrip("/"))


def _mask(beneath: Slot, path: str) -> Step:
    return Step(Operation.MASK, (Slot.EMPTY, beneath, path))


def _make_readonly(beneath: Slot, path: str) -> Iterator[Step]:
    copied = AtFlag.OPEN_TREE_CLONE | AtFlag.AT_RECURSIVE
    itself = AtFlag.AT_EMPTY_PATH | AtFlag.AT_RECURSIVE
    yield Step(Operation.OPEN_TREE, (Slot.TREE, beneath, path, copied))
    yield Step(Operation.MOUNT_SETATTR, (Slot.TREE, "", itself, RDONLY, 0, 0))
    yield attach(Slot.TREE, path, beneath=beneath)
