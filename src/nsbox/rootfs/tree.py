"""The tree that a root is made of: folders in memory, the host's files shown in them, links.

A read-only root must not be written to just because a mount point is missing in it. So the folder
that lacks one is opened up: a folder in memory takes its place, that shows the same entries and has
room for one more.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import TypeAlias

import attrs

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import AtFlag
from nsbox.plan import Slot, Step

Node: TypeAlias = "Folder | Bind | Link | EmptyFile"

MAX_LINKS = 40
"""How many links the kernel follows in one path: path_resolution(7)."""


@attrs.frozen
class Bind:
    """A file or folder of the host, with what is mounted below it.

    `source` is a path as the caller has named it. What is `beneath` that was found there, and may
    be replaced meanwhile: no link leads out of `source` from there. Of that it is known, too,
    whether it is a `folder`.
    """

    source: str
    beneath: str = ""
    folder: bool | None = attrs.field(default=None, eq=False)

    @property
    def path(self) -> str:
        """The whole path, for messages."""
        return os.path.join(self.source, self.beneath) if self.beneath else self.source


@attrs.frozen
class Link:
    """A symbolic link."""

    target: str


@attrs.frozen
class EmptyFile:
    """A file in memory without contents, to be mounted upon."""


@attrs.define
class Folder:
    """A folder in memory, of the box's root or of whose the `original` is that it stands for."""

    children: dict[str, "Node"] = attrs.field(factory=dict)
    mode: int = 0o755
    original: Bind | None = None

    def put(self, path: str, node: Node) -> None:
        """Put a node at a path below, making the folders on the way."""
        folder = self
        *parents, name = path.split("/")
        for parent in parents:
            below = folder.children.setdefault(parent, Folder())
            if not isinstance(below, Folder):
                raise _changed(parent)
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
            below = folder.children.get(name)
            if isinstance(below, Bind):
                below = folder.children[name] = _listing(below)
            if not isinstance(below, Folder):
                raise _changed("/".join(parts))
            folder = below
        return folder

    def steps(self) -> Iterator[Step]:
        """Lower the tree below the root; the root itself is in `Slot.ROOT` already."""
        if isinstance(self.root, Folder):
            yield from _Steps().of(self.root, "")


def _child(node: Node, name: str) -> "Node | None":
    if isinstance(node, Folder):
        return node.children.get(name)
    if not isinstance(node, Bind):
        return None
    below = _below(node, name)
    try:
        with _held(below, os.O_PATH | os.O_NOFOLLOW) as fd:
            return _entry(below, fd)
    except OSError:
        return None


def _changed(path: str) -> OSError:
    """Make the error for what was a folder of the root, or missing, a moment ago."""
    return OSError(errno.ESTALE, "changed by somebody while it was looked at", path)


def _below(bind: Bind, name: str) -> Bind:
    return Bind(bind.source, os.path.join(bind.beneath, name))


@contextlib.contextmanager
def _held(bind: Bind, flags: int) -> Iterator[int]:
    """Hold what is there as long as the block lasts. Raises `OSError` with the whole path."""
    with contextlib.ExitStack() as stack:
        if bind.beneath:
            source = os.open(bind.source, os.O_PATH | os.O_DIRECTORY)
            stack.callback(os.close, source)
            try:
                fd = _native.open_beneath(source, os.fsencode(bind.beneath), flags)
            except OSError as error:
                raise OSError(error.errno, error.strerror, bind.path) from None
        else:
            fd = os.open(bind.source, flags)
        stack.callback(os.close, fd)
        yield fd


def _entry(bind: Bind, fd: int) -> "Bind | Link":
    """Tell by an O_PATH descriptor what is shown of a host's entry: of what is held, no other."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISLNK(mode):
        return Link(os.readlink("", dir_fd=fd))
    return attrs.evolve(bind, folder=stat.S_ISDIR(mode))


def _listing(bind: Bind) -> Folder:
    """Return a folder in memory with the entries of a folder of the host."""
    with _held(bind, os.O_RDONLY | os.O_DIRECTORY) as held:
        about = os.fstat(held)
        others = (about.st_uid, about.st_gid) != (0, 0)
        folder = Folder(mode=stat.S_IMODE(about.st_mode), original=bind if others else None)
        for name in sorted(os.listdir(held)):
            try:
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=held)
            except FileNotFoundError:
                continue  # it has gone since
            try:
                folder.children[name] = _entry(_below(bind, name), fd)
            finally:
                os.close(fd)
    return folder


def _empty(*, folder: bool) -> Folder | EmptyFile:
    return Folder() if folder else EmptyFile()


def _is_folder(node: Node) -> bool:
    if isinstance(node, Bind):
        return is_host_folder(node.source) if node.folder is None else node.folder
    return isinstance(node, Folder)


def is_host_folder(path: str) -> bool:
    """Tell whether a path of the host is a folder; one that is missing is taken for one."""
    return os.path.isdir(path) or not os.path.exists(path)


@attrs.define
class _Steps:
    """Lowers folders; `held` is the source in `Slot.FOLDER`."""

    held: str | None = None

    def of(self, folder: Folder, path: str) -> Iterator[Step]:
        if folder.original is not None:
            yield from self._hold(folder.original.source)
            like = folder.original.beneath or "."
            yield Step(Operation.FCHOWNAT, (Slot.ROOT, path or ".", Slot.FOLDER, like))
        for name, node in folder.children.items():
            place = f"{path}/{name}" if path else name
            if isinstance(node, Folder):
                yield Step(Operation.MKDIRAT, (Slot.ROOT, place, node.mode))
                yield from self.of(node, place)
            elif isinstance(node, Link):
                yield link(place, node.target)
            elif isinstance(node, EmptyFile):
                yield Step(Operation.OPENAT, (Slot.ROOT, place, 0o644, b""))
            else:
                yield point(Slot.ROOT, place, folder=_is_folder(node))
                yield from self._clone(node)
                yield Step(Operation.MOVE_MOUNT, (Slot.TREE, Slot.ROOT, place))

    def _clone(self, bind: Bind) -> Iterator[Step]:
        """Copy the mount of what is still there, by a descriptor where others may replace it."""
        if not bind.beneath:
            yield clone_tree(bind.source, recursive=True)
            return
        yield from self._hold(bind.source)
        yield clone_tree(bind.beneath, recursive=True, of=Slot.FOLDER)

    def _hold(self, source: str) -> Iterator[Step]:
        if self.held != source:
            self.held = source
            yield look_at(source, Slot.FOLDER)


def point(beneath: Slot, place: str, *, folder: bool) -> Step:
    """Make a folder, or an empty file, to mount upon."""
    if folder:
        return Step(Operation.MKDIRAT, (beneath, place, 0o755))
    return Step(Operation.OPENAT, (beneath, place, 0o644, b""))


def link(place: str, to: str) -> Step:
    """Make a symbolic link."""
    return Step(Operation.SYMLINKAT, (to, Slot.ROOT, place))


def clone_tree(
    source: str, *, recursive: bool, into: Slot = Slot.TREE, of: Slot = Slot.CWD
) -> Step:
    """Copy the mount of a file or folder of the host, or beneath one that is held."""
    flags = AtFlag.OPEN_TREE_CLONE | (AtFlag.AT_RECURSIVE if recursive else 0)
    return Step(Operation.OPEN_TREE, (into, of, source, flags))


def look_at(source: str, into: Slot) -> Step:
    """Open a folder of the host without copying its mount: it must be there."""
    return Step(Operation.OPEN_TREE, (into, Slot.CWD, source, AtFlag(0)))
