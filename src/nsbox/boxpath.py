"""Paths in a box, used from outside: a small `pathlib.Path`."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from nsbox.beneath import FOLDER, Beneath
from nsbox.display import Displayed
from nsbox.fields import StrPath, text_path


class BoxPath(Displayed):
    """A path in a box; made by `Box.root` and from another by ``/``.

    It has the names and the meaning of `pathlib.Path`, as far as they go. A link is followed as in
    the box, and never out of it: that is why this is no `os.PathLike`, which `open` and others
    would look for on the host. New files belong to the box's root; ids in a `stat` result are
    those that the caller knows.

    Methods raise what those of `pathlib.Path` raise, `OSError` for what is neither file nor folder
    where content is asked for, and `ValueError` after the box was closed.
    """

    def __init__(self, root: Beneath, path: PurePosixPath) -> None:
        self._root = root
        self._path = path

    @property
    def beneath(self) -> Beneath:
        """The root that it is a path of, for copying."""
        return self._root

    def __truediv__(self, other: StrPath) -> "BoxPath":
        return BoxPath(self._root, self._path / text_path(other, "path"))

    def joinpath(self, *others: StrPath) -> "BoxPath":
        """Join this path and others; an absolute one begins again at the box's root."""
        return BoxPath(self._root, self._path.joinpath(*(text_path(o, "path") for o in others)))

    @property
    def parent(self) -> "BoxPath":
        """The path without its last name."""
        return BoxPath(self._root, self._path.parent)

    @property
    def name(self) -> str:
        """The last name of the path; "" for the root."""
        return self._path.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the path."""
        return self._path.parts

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open the file, as `open` does."""
        return open(str(self), mode, buffering, encoding, errors, newline, opener=self._root.open)

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        with self.open("rb") as file:
            content: bytes = file.read()
        return content

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the file's content as text."""
        with self.open(encoding=encoding, errors=errors) as file:
            content: str = file.read()
        return content

    def write_bytes(self, data: bytes) -> int:
        """Write the file anew; return how many bytes."""
        with self.open("wb") as file:
            return file.write(data)

    def write_text(
        self,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> int:
        """Write the file anew, as text; return how many characters."""
        with self.open("w", encoding=encoding, errors=errors, newline=newline) as file:
            return file.write(data)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Look at what is there. See stat(2)."""
        with self._root.held(str(self), follow=follow_symlinks) as fd:
            return os.fstat(fd)

    def lstat(self) -> os.stat_result:
        """Look at what is there, a link itself included."""
        return self.stat(follow_symlinks=False)

    def exists(self) -> bool:
        """Whether there is something; not at the end of a link that leads nowhere."""
        return self._mode() != 0

    def is_file(self) -> bool:
        """Whether it is a regular file, or a link to one."""
        return stat.S_ISREG(self._mode())

    def is_dir(self) -> bool:
        """Whether it is a folder, or a link to one."""
        return stat.S_ISDIR(self._mode())

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self._mode(follow=False))

    def iterdir(self) -> Iterator["BoxPath"]:
        """Yield what is in the folder, in no order."""
        fd = self._root.open(str(self), FOLDER)
        try:
            names = os.listdir(fd)
        finally:
            os.close(fd)
        return (self / name for name in names)

    def readlink(self) -> PurePosixPath:
        """Return where a symbolic link leads."""
        return PurePosixPath(self._root.read_link(str(self)))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder."""
        try:
            self._root.make_folder(str(self), mode)
        except FileNotFoundError:
            if not parents or self.parent._path == self._path:
                raise
            self.parent.mkdir(parents=True, exist_ok=True)
            self.mkdir(mode, exist_ok=exist_ok)
        except OSError:
            if not exist_ok or not self.is_dir():
                raise

    def symlink_to(self, target: StrPath) -> None:
        """Make a symbolic link to `target`, which is taken as it is."""
        self._root.make_link(str(self), text_path(target, "target"))

    def chmod(self, mode: int) -> None:
        """Change the permission bits, at the end of a link. See chmod(2)."""
        with self._root.held(str(self)) as fd:
            os.chmod(f"/proc/self/fd/{fd}", mode)  # what is held, by whatever name

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file, or the link."""
        missing = contextlib.suppress(FileNotFoundError) if missing_ok else contextlib.nullcontext()
        with missing:
            self._root.remove_file(str(self))

    def rmdir(self) -> None:
        """Remove the folder, which is empty."""
        self._root.remove_folder(str(self))

    def _mode(self, *, follow: bool = True) -> int:
        try:
            return self.stat(follow_symlinks=follow).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            if isinstance(error, PermissionError):
                raise
            return 0  # a link to itself, as pathlib has it

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"<BoxPath {str(self)!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoxPath):
            return NotImplemented
        return (self._root, self._path) == (other._root, other._path)

    def __hash__(self) -> int:
        return hash((self._root, self._path))

    def __reduce__(self) -> Any:
        raise TypeError("a BoxPath belongs to a live box, and cannot be pickled; its str can")
