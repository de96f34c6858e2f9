"""Namespaces kept by a mount on a file, and told from other files. See namespaces(7)."""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from nsbox._native.operations import Operation
from nsbox.constants import AT_FDCWD, AtFlag, NamespaceRequest, UnmountFlag
from nsbox.namespace.types import NamespaceType
from nsbox.perform import perform
from nsbox.plan import Slot, Step

_UNMOUNT = UnmountFlag.MNT_DETACH | UnmountFlag.UMOUNT_NOFOLLOW

_BY_FLAG = {kind.clone_flag: kind for kind in NamespaceType}


def is_namespace(status: os.stat_result) -> bool:
    """Tell whether a file is one of the kernel's nsfs, which all namespaces are on."""
    return status.st_dev == os.stat("/proc/self/ns/mnt").st_dev and stat.S_ISREG(status.st_mode)


def open_namespace(path: str | os.PathLike[str]) -> int:
    """Open the file of a namespace, and no other: to open a device could set it off.

    Raises `ValueError` where the file stands for no namespace.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not is_namespace(os.fstat(found)):
            raise ValueError(f"{os.fspath(path)} stands for no namespace")
        return os.open(f"/proc/thread-self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)


def type_of(fd: int, name: str) -> NamespaceType:
    """Ask a descriptor for its kind. Raises `ValueError` where it is no namespace."""
    if not is_namespace(os.fstat(fd)):
        raise ValueError(f"{name} stands for no namespace")
    return _BY_FLAG[fcntl.ioctl(fd, NamespaceRequest.NS_GET_NSTYPE)]  # type: ignore[index]


def pin(fd: int, path: Path) -> Path:
    """Mount a namespace on a file, made if it is missing. See open_tree(2), move_mount(2)."""
    made = False
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
        made = True
    except FileExistsError:
        found = os.stat(path)
        if is_namespace(found):
            raise
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(
                errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)
            ) from None
    kind = type_of(fd, str(path))
    copied = AtFlag.OPEN_TREE_CLONE | AtFlag.AT_EMPTY_PATH
    steps = [
        Step(Operation.OPEN_TREE, (Slot.TREE, kind.slot, "", copied)),
        Step(Operation.MOVE_MOUNT, (Slot.TREE, AT_FDCWD, os.fspath(path))),
    ]
    try:
        perform(steps, {kind.slot: fd})
    except BaseException:
        if made:
            os.unlink(path)
        raise
    return path


def unpin(path: str | os.PathLike[str]) -> None:
    """Undo `Namespace.pin`: unmount the file and remove it.

    What is in the namespace stays; it ends when nothing keeps it any longer. Raises `ValueError`
    where no namespace is pinned at `path`, and `OSError` where it cannot be unmounted.
    """
    if not is_namespace(os.stat(path, follow_symlinks=False)):
        raise ValueError(f"no namespace is pinned at {os.fspath(path)!r}")
    perform([Step(Operation.UMOUNT2, (os.fspath(path), _UNMOUNT))])
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
