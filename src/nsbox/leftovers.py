"""Folders for temporary files that tell by their name whose they are: `reap` finds the dead's.

They lie where everybody can make folders: their names are of chance, and what is removed is the
caller's own.
"""

import contextlib
import os
import re
import stat
import tempfile

from nsbox.cgroup import owner

_NAME = re.compile(rf"{owner.PREFIX}(?P<mark>[0-9@-]+)-[a-z]+-[^-]+", re.ASCII)


def make_folder(kind: str) -> str:
    """Make a folder of this process's, for its eyes alone; `kind` is a word of its name."""
    prefix = f"{owner.PREFIX}{owner.owner()}-{kind}-"
    return tempfile.mkdtemp(prefix=prefix)


def reap_folders() -> list[str]:
    """Remove the folders of dead owners, with the files in them; returns those removed."""
    removed = []
    with os.scandir(tempfile.gettempdir()) as entries:
        left = [entry.path for entry in entries if _is_left(entry.name)]
    for path in left:
        with contextlib.suppress(OSError):
            if _remove(path):
                removed.append(path)
    return removed


def _is_left(name: str) -> bool:
    found = _NAME.fullmatch(name)
    made_by = owner.Owner.parse(found["mark"]) if found else None
    return made_by is not None and made_by.dead


def _remove(path: str) -> bool:
    """Remove a folder if it is one, and the caller's; no link is followed."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            return False
        for name in os.listdir(folder):
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(path)
    return True
