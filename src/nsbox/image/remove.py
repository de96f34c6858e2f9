"""Trees removed, by descriptors: also those whose folders their owner made unwritable."""

import os


def remove(name: str | bytes, above: int) -> bool:
    """Remove what bears this name in a folder, with all that is in it; return whether it was one.

    No link is followed. Raises `FileNotFoundError` where there is nothing.
    """
    try:
        os.unlink(name, dir_fd=above)
    except (IsADirectoryError, PermissionError):
        fd = _open(name, above)
        try:
            clear(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=above)
        return True
    return False


def clear(folder: int) -> None:
    """Remove all that is in a folder."""
    for name in os.listdir(folder):
        remove(name, folder)


def _open(name: str | bytes, above: int) -> int:
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if os.geteuid() != 0:  # root needs no permission
        held = os.open(name, flags | os.O_PATH, dir_fd=above)
        try:
            os.chmod(f"/proc/self/fd/{held}", 0o700)
        finally:
            os.close(held)
    return os.open(name, flags, dir_fd=above)


def remove_tree(folder: str) -> None:
    """Remove a folder with all that is in it, if it is there."""
    above = os.open(os.path.dirname(folder), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove(os.path.basename(folder), above)
    except FileNotFoundError:
        pass
    finally:
        os.close(above)
