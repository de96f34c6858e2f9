"""The tree that a root is made of: folders in memory, the host's files shown in them, links.

A read-only root must not be written to just because a mount point is missing in it. So the folder
that lacks one is opened up: a folder in memory takes its place, that shows the same entries and has
room for one more.
"""

import os
import stat
from collections.abc import Iterator
from typing import TypeAlias

import attrs

from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step

Node: TypeAlias = "Folder | Bind | Link | EmptyFile"

MAX_LINKS = 40
"""How many links the kernel follows in one path: path_resolution(7)."""


@attrs.frozen
class Bind:
    """A file or folder of the host, with what is mounted below it."""

    source: str


@attrs.frozen
class Link:
    """A symbolic link."""

    target: str


@attrs.frozen
class EmptyFile:
    """A file in memory without contents, to be mounted upon."""


@attrs.define
class Folder:
    """A folder in memory."""

    children: dict[str, "Node"] = attrs.field(factory=dict)
    mode: int = 0o755

    def put(self, path: str, node: Node) -> None:
        """Put a node at a path below, making the folders on the way."""
        folder = self
        *parents, name = path.split("/")
        for parent in parents:
            below = folder.children.setdefault(parent, Folder())
            assert isinstance(below, Folder)
            folder = below
        folder.children[name] = node


@attrs.define
class Tree:
    """A root in the making; `mount_point` makes room, `steps` lowers it."""

    root: Folder | Bind
    mounted: set[tuple[str, ...]] = attrs.field(factory=set)

    def mount_point(self, target: str, *, folder: bool) -> bool:
        """Make sure that there is a folder (or a file) at `target`, without touching the host.

        False where the target lies beneath an earlier one: what is mounted there by then decides.
        Raises `ValueError` where something of the other sort, or a loop of links, is in the way.
        """
        parts = self._resolve(target)
        if parts is None:
            return False
        depth, node = self._walk(target, parts)
        if depth < len(parts):
            self._open_up(parts[:depth]).put("/".join(parts[depth:]), _empty(folder=folder))
        elif _is_folder(node) != folder:
            sort = "not a folder" if folder else "a folder"
            raise ValueError(f"target {target!r}: is {sort} in the root")
        self.mounted.add(tuple(parts))
        return True

    def link(self, target: str, to: str) -> bool:
        """Put a symbolic link at `target`, in place of a file or link that is there.

        False where the target lies beneath a mount. Raises `ValueError` for one that is a mount,
        or a folder.
        """
        *above, name = target.strip("/").split("/")
        folder = self._resolve("/".join(above))
        if folder is None or tuple(folder) in self.mounted:
            return False
        parts = [*folder, name]
        if tuple(parts) in self.mounted:
            raise ValueError(f"target {target!r}: something is mounted there")
        depth, node = self._walk(target, parts)
        if depth == len(parts) and _is_folder(node):
            raise ValueError(f"target {target!r}: is a folder in the root")
        depth = min(depth, len(folder))
        self._open_up(parts[:depth]).put("/".join(parts[depth:]), Link(to))
        return True

    def _walk(self, target: str, parts: list[str]) -> tuple[int, Node]:
        """Return how many of these names are there, and what the last of those is."""
        if not parts:
            raise ValueError(f"target {target!r}: is the root itself")
        node: Node = self.root
        for depth, name in enumerate(parts):
            if not _is_folder(node):
                raise ValueError(f"target {target!r}: /{'/'.join(parts[:depth])} is not a folder")
            below = _child(node, name)
            if below is None:
                return depth, node
            node = below
        return len(parts), node

    def _resolve(self, target: str) -> list[str] | None:
        """Follow the links of the tree as a process would whose / it is; None beneath a mount."""
        done: list[str] = []
        left = target.split("/")
        links = 0
        while left:
            name = left.pop(0)
            if name == "..":
                done = done[:-1]
            elif name not in ("", "."):
                if tuple(done) in self.mounted:
                    return None
                node = self._at([*done, name])
                if isinstance(node, Link):
                    links += 1
                    left = node.target.split("/") + left
                    done = [] if node.target.startswith("/") else done
                else:
                    done.append(name)
            if links > MAX_LINKS:
                raise ValueError(f"target {target!r}: too many symbolic links in the root")
        return done

    def _at(self, parts: list[str]) -> "Node | None":
        node: Node | None = self.root
        for name in parts:
            node = None if node is None else _child(node, name)
        return node

    def _open_up(self, parts: list[str]) -> Folder:
        """Turn the folder at these parts, and those above it, into folders in memory."""
        if isinstance(self.root, Bind):
            self.root = _listing(self.root)
        folder = self.root
        for name in parts:
            below = folder.children[name]
            if isinstance(below, Bind):
                below = folder.children[name] = _listing(below)
            assert isinstance(below, Folder)
            folder = below
        return folder

    def steps(self) -> Iterator[Step]:
        """Lower the tree below the root; the root itself is in `Slot.ROOT` already."""
        if isinstance(self.root, Folder):
            yield from _folder_steps(self.root, "")


def _child(node: Node, name: str) -> "Node | None":
    if isinstance(node, Folder):
        return node.children.get(name)
    if not isinstance(node, Bind):
        return None
    path = os.path.join(node.source, name)
    try:
        return _host_entry(path, os.lstat(path).st_mode)
    except OSError:
        return None


def _host_entry(path: str, mode: int) -> "Bind | Link":
    return Link(os.readlink(path)) if stat.S_ISLNK(mode) else Bind(path)


def _listing(bind: Bind) -> Folder:
    """Return a folder in memory with the entries of a folder of the host."""
    mode = stat.S_IMODE(os.stat(bind.source).st_mode)
    with os.scandir(bind.source) as entries:
        names = sorted(entry.name for entry in entries)
    folder = Folder(mode=mode)
    for name in names:
        path = os.path.join(bind.source, name)
        folder.children[name] = _host_entry(path, os.lstat(path).st_mode)
    return folder


def _empty(*, folder: bool) -> Folder | EmptyFile:
    return Folder() if folder else EmptyFile()


def _is_folder(node: Node) -> bool:
    return isinstance(node, Folder) or (isinstance(node, Bind) and is_host_folder(node.source))


def is_host_folder(path: str) -> bool:
    """Tell whether a path of the host is a folder; one that is missing is taken for one."""
    return os.path.isdir(path) or not os.path.exists(path)


def _folder_steps(folder: Folder, path: str) -> Iterator[Step]:
    for name, node in folder.children.items():
        place = f"{path}/{name}" if path else name
        if isinstance(node, Folder):
            yield Step(Operation.MKDIRAT, (Slot.ROOT, place, node.mode))
            yield from _folder_steps(node, place)
        elif isinstance(node, Link):
            yield link(place, node.target)
        elif isinstance(node, EmptyFile):
            yield Step(Operation.OPENAT, (Slot.ROOT, place, 0o644, b""))
        else:
            yield point(Slot.ROOT, place, folder=is_host_folder(node.source))
            yield clone_tree(node.source, recursive=True)
            yield Step(Operation.MOVE_MOUNT, (Slot.TREE, Slot.ROOT, place))


def point(beneath: Slot, place: str, *, folder: bool) -> Step:
    """Make a folder, or an empty file, to mount upon."""
    if folder:
        return Step(Operation.MKDIRAT, (beneath, place, 0o755))
    return Step(Operation.OPENAT, (beneath, place, 0o644, b""))


def link(place: str, to: str) -> Step:
    """Make a symbolic link."""
    return Step(Operation.SYMLINKAT, (to, Slot.ROOT, place))


def clone_tree(source: str, *, recursive: bool, into: Slot = Slot.TREE) -> Step:
    """Copy the mount of a file or folder of the host."""
    flags = AtFlag.OPEN_TREE_CLONE | (AtFlag.AT_RECURSIVE if recursive else 0)
    return Step(Operation.OPEN_TREE, (into, Slot.CWD, source, flags))


def look_at(source: str, into: Slot) -> Step:
    """Open a folder of the host without copying its mount: it must be there."""
    return Step(Operation.OPEN_TREE, (into, Slot.CWD, source, AtFlag(0)))
