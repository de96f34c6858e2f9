"""What the dead left: groups whose owner is no more are removed, with what is in them."""

import contextlib
import os
from collections import Counter

from nsbox.cgroup import files, owner, removing, stopping
from nsbox.cgroup.delegation import LEAF
from nsbox.cgroup.hierarchy import Hierarchy, hierarchies


def reap_groups() -> tuple[str, ...]:
    """Remove the groups whose owner is dead, and end the tasks in them; never those of the living.

    Returns the folders removed.
    """
    # A group has one name in all its hierarchies; several of a name in one are so many groups.
    found: dict[tuple[str, int], dict[Hierarchy, str]] = {}
    removed: list[str] = []
    for hierarchy in hierarchies():
        alike = Counter[str]()
        for folder in files.walk(hierarchy.mountpoint):
            name = os.path.basename(folder)
            if name.startswith(LEAF):
                removed += _remove_leaf(folder)
            elif _is_left(folder):
                found.setdefault((name, alike[name]), {})[hierarchy] = folder
                alike[name] += 1
            removed += _remove_claimed(folder)
    for directories in found.values():
        with contextlib.suppress(PermissionError):
            stopping.kill(directories)
        for folder in directories.values():
            with contextlib.suppress(OSError):
                removing.remove([folder])
                removed.append(folder)
    return tuple(removed)


def _is_left(folder: str) -> bool:
    """Whether a group's owner is dead, and no group below it is a living one's."""
    made_by = owner.owner_of(folder)
    if made_by is None or not made_by.dead:
        return False
    _, *below = files.walk(folder)
    owners = [found for one in below if (found := owner.owner_of(one)) is not None]
    return all(one.dead for one in owners)


def _remove_claimed(folder: str) -> list[str]:
    """Remove what dead owners had only just made below a group: nothing can be in it yet."""
    removed = []
    for claimed in owner.left_claims(folder):
        if owner.owner_of(claimed) is None:
            with contextlib.suppress(OSError):
                os.rmdir(claimed)
                removed.append(claimed)
    return removed


def _remove_leaf(folder: str) -> list[str]:
    """Remove the leaf that a dead caller had moved into; what it left there is not ours to end."""
    made_by = owner.Owner.parse(os.path.basename(folder).removeprefix(LEAF))
    if made_by is not None and made_by.dead:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
            return [folder]
    return []
