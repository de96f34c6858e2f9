"""What cgroup v2 alone asks for: Documentation/admin-guide/cgroup-v2.rst.

- controllers are handed down by ``cgroup.subtree_control``, from the top;
- a group that hands controllers down holds no processes of its own, the root excepted;
- threads of one process can be in different groups only below a threaded domain.
"""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nsbox._native.operations import Operation
from nsbox.cgroup import files
from nsbox.plan import Step

if TYPE_CHECKING:
    from nsbox.cgroup.controllers import Change

JOIN = "cgroup.procs"
THREADS = "cgroup.threads"
CONTROL = "cgroup.subtree_control"


def controllers(folder: str) -> frozenset[str]:
    """Return the controllers that a group has, and so can hand down."""
    return frozenset((files.read(f"{folder}/cgroup.controllers") or "").split())


def handed_down(folder: str) -> frozenset[str]:
    """Return the controllers that a group hands down to the groups below it."""
    return frozenset((files.read(f"{folder}/{CONTROL}") or "").split())


def is_root(folder: str) -> bool:
    """Whether a group is the real root, which alone may hold processes and hand down.

    The root of a cgroup namespace is none, and has the file that the real one lacks.
    """
    return not os.path.exists(f"{folder}/cgroup.type")


def is_threaded(folder: str) -> bool:
    """Whether a group holds threads of processes whose domain is above it."""
    return (files.read(f"{folder}/cgroup.type") or "").startswith("threaded")


def may_delegate(folder: str) -> bool:
    """Whether the caller may make groups here and move its tasks: cgroups(7), "Delegation"."""
    wanted = (folder, f"{folder}/{JOIN}", f"{folder}/{CONTROL}")
    return all(os.access(path, os.W_OK, effective_ids=True) for path in wanted)


def hand_down(folder: str, subsystems: Iterable[str]) -> Iterator[Step]:
    """Hand controllers down that are not yet; as one write, so that all or none is."""
    missing = sorted(frozenset(subsystems) - handed_down(folder))
    if missing:
        text = " ".join(f"+{name}" for name in missing).encode()
        yield Step(Operation.WRITE, (f"{folder}/{CONTROL}", text))


def make(
    parent: str, folder: str, subsystems: frozenset[str], writes: "Iterable[Change]"
) -> Iterator[Step]:
    """Make a group: its controllers handed down, its folder, its limits. Looks at the parent."""
    yield from hand_down(parent, subsystems)
    yield Step(Operation.MKDIR, (folder, 0o755))
    for write in writes:
        yield write.step(folder)
