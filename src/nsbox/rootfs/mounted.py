"""A root mounted for the caller: in a mnt namespace that a first process keeps, or on the host."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import CloneFlag, UnmountFlag
from nsbox.errors import StepError, UnsupportedError
from nsbox.fields import StrPath, text_path
from nsbox.namespace.create import map_steps
from nsbox.namespace.idmap import IDMap
from nsbox.perform import perform
from nsbox.plan import Slot, Step
from nsbox.rootfs import lower
from nsbox.rootfs.bind import idmaps
from nsbox.rootfs.overlay import remove_work, work_mark
from nsbox.rootfs.root import RootFS
from nsbox.rootfs.site import Site

_numbers = itertools.count(1)


@contextlib.contextmanager
def mounted(rootfs: RootFS, path: StrPath | None) -> Iterator[Path]:
    """Mount a root for as long as the block lasts. See `RootFS.mounted`."""
    caller = Caller.current()
    changes_user = path is None and not caller.privileged
    site = Site.of(caller, changes_user=changes_user, work=f"{work_mark()}{next(_numbers)}")
    site = attrs.evolve(site, standard=False)
    with contextlib.ExitStack() as stack:
        for work in lower.work_folders(rootfs, site):
            stack.callback(remove_work, work)
        descriptors = stack.enter_context(idmaps(rootfs.mounts))
        if path is None:
            yield stack.enter_context(_kept(rootfs, site, caller, descriptors))
        else:
            place = os.path.abspath(text_path(path, "path"))
            if not caller.privileged:
                raise UnsupportedError("path: to mount on the host takes CAP_SYS_ADMIN")
            on_host = attrs.evolve(site, place=place, own_mounts=False)
            yield stack.enter_context(_on_host(rootfs, on_host, descriptors))


@contextlib.contextmanager
def _kept(
    rootfs: RootFS, site: Site, caller: Caller, descriptors: dict[int, int]
) -> Iterator[Path]:
    """Let a process live in the root, and go there by way of it: proc_pid_root(5).

    That process is ours to look at, unlike a box's: nothing of another's ever runs beside it.
    """
    users = CloneFlag.CLONE_NEWUSER if site.changes_user else CloneFlag(0)
    keeper = perform(
        [
            Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNS | users,)),
            *(map_steps(IDMap(), caller) if site.changes_user else ()),
            Step(Operation.UNSHARE_FILES),
            Step(Operation.DUP2),
            Step(Operation.EXECVEAT),
            Step(Operation.UMASK, (0,)),
            *lower.steps(rootfs, site),
        ],
        descriptors,
        stays=True,
    )
    try:
        yield Path(f"/proc/{keeper.pid}/root")
    finally:
        keeper.end()


@contextlib.contextmanager
def _on_host(rootfs: RootFS, site: Site, descriptors: dict[int, int]) -> Iterator[Path]:
    """Let a child mount it, whose working folder and umask are its own."""
    steps = [
        Step(Operation.CLONE3, (CloneFlag(0),)),
        Step(Operation.UNSHARE_FILES),
        Step(Operation.UMASK, (0,)),
        *lower.steps(rootfs, site),
    ]
    try:
        perform(steps, descriptors)
    except StepError as error:
        _unmount(steps[: error.index], site.place)
        raise
    try:
        yield Path(site.place)
    finally:
        _unmount(steps, site.place)


def _unmount(done: Sequence[Step], place: str) -> None:
    """Undo what these steps have mounted upon the place itself; what is below goes with it."""
    detach = Step(Operation.UMOUNT2, (place, UnmountFlag.MNT_DETACH))
    for step in done:
        if step.operation is Operation.MOVE_MOUNT and step.arguments[1:] == (Slot.CWD, place):
            perform([detach])
