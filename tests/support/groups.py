"""Groups as the host has them, by name."""

import os
from fnmatch import fnmatch
from pathlib import Path

import nsbox


def groups_named(pattern: str) -> list[Path]:
    """Return those of all hierarchies that are called so, by a pattern of the shell's.

    Others' come and go meanwhile: `os.walk` minds that, `Path.rglob` does not.
    """
    return [
        Path(folder)
        for hierarchy in nsbox.hierarchies()
        for folder, _, _ in os.walk(hierarchy.mountpoint)
        if fnmatch(os.path.basename(folder), pattern)
    ]
