"""A root file system, as a value."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from nsbox.display import Displayed
from nsbox.fields import StrPath, instance_of, text_path
from nsbox.rootfs.fields import paths, upper_path
from nsbox.rootfs.mount import Mount

if TYPE_CHECKING:
    from nsbox.image import Image, Store


def _mounts(value: Any) -> tuple[Mount, ...]:
    mounts = tuple(value) if isinstance(value, Iterable) else (value,)
    for mount in mounts:
        if not isinstance(mount, Mount):
            raise ValueError(f"mounts: values made by Mount.bind, Mount.tmpfs ..., not {mount!r}")
    return mounts


@attrs.frozen(cache_hash=True)
class RootFS(Displayed):
    """What a box takes for ``/``; made by `system`, `directory`, `overlay`, `image` or `empty`.

    `with_mounts` adds to it. Every root has /proc, /dev and a private /tmp in a box, unless one of
    `mounts` takes their place.
    """

    mounts: tuple[Mount, ...] = attrs.field(default=(), converter=_mounts, kw_only=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """The files and folders of the host that must be there, as they were given."""
        return (*self._folders, *(source for mount in self.mounts for source in mount.sources))

    @property
    def _folders(self) -> tuple[str, ...]:
        return ()

    @staticmethod
    def system(*, python: bool = False) -> "SystemRoot":
        """The host's own programs and libraries, read only.

        ``/usr`` (and ``/bin``, ``/lib`` ... where they are apart) and a selection of ``/etc`` that
        holds no secrets; nobody's home, no ``/run``, no ``/var``.

        `python` adds what the running interpreter needs, at its own paths: itself, its virtual
        environment and the import path (``sys.path`` and editable installs) as they are when the
        box starts. Never somebody's home as a whole: a folder of the path that is one, or holds
        one, is left out.
        """
        return SystemRoot(python=python)

    @staticmethod
    def directory(path: StrPath, *, readonly: bool = False) -> "DirectoryRoot":
        """A folder of the host as the root.

        Where it is writable, mount points that it lacks (``/proc`` ...) are made in the folder, as
        other container runtimes do it. A read-only one is left as it is: the box sees a folder
        in memory with the tree's entries and the missing mount points in it.
        """
        return DirectoryRoot(path, readonly=readonly)

    @staticmethod
    def overlay(*lowers: StrPath, upper: StrPath | None = None) -> "OverlayRoot":
        """Folders of the host laid over each other, each over those before it; none is changed.

        What the box writes is thrown away with it, or kept in the folder `upper`, which is made
        if it is missing: there the next box finds it, one box at a time. What is deleted leaves a
        whiteout there. What is mounted below a lower folder is not shown.

        Where no overlay can be had and `upper` is None, the box gets a copy in memory instead, of
        up to 1 GiB: its plan says so, and why. See the kernel's document, filesystems/overlayfs.
        """
        return OverlayRoot(lowers, upper=upper)

    @staticmethod
    def image(
        image: "Image",
        *,
        store: "str | os.PathLike[str] | Store",
        upper: str | os.PathLike[str] | None = None,
    ) -> "RootFS":
        """An image's layers laid over each other, as `Image.spec` has them, for a spec of your own.

        Unlike other roots it is made by work: layers that `store` has not yet are unpacked, within
        the default limits (call `Image.unpacked` before, for others), and all are locked until the
        image is closed. `upper` is as for `overlay`. Volumes that are empty in the image are file
        systems in memory. Of the image's configuration nothing else counts; a store with an
        ``id_map`` takes a spec with the same one, in a user namespace that is new. Raises what
        `Image.unpacked` does.
        """
        return image.rootfs(store=store, upper=upper)

    @staticmethod
    def empty() -> "EmptyRoot":
        """Nothing but what `with_mounts` adds, read only where that cannot be written to."""
        return EmptyRoot()

    def with_mounts(self, *mounts: Mount) -> "RootFS":
        """Return this root with more mounts on it: in the order given, later over earlier."""
        return attrs.evolve(self, mounts=self.mounts + mounts)

    def mounted(self, path: StrPath | None = None) -> AbstractContextManager[Path]:
        """Mount the root for the caller, without a box; as long as the ``with`` block lasts.

        It yields the path where the tree is. That is out of everybody else's sight, in a mnt
        namespace of its own, unless `path` names a folder of the host to mount it upon, which
        takes CAP_SYS_ADMIN. Without `path` an ordinary user can do it, too.

        The /proc, /dev and /tmp of a box are not in it. An *absolute* symbolic link in the tree
        leads out of it, as the caller's ``/`` is another: with trees that are not trusted, use a
        box. Raises `StepError` for the step that failed.
        """
        from nsbox.rootfs.mounted import mounted  # noqa: PLC0415 - it needs what is built on this

        return mounted(self, path)


@attrs.frozen(cache_hash=True)
class SystemRoot(RootFS):
    """See `RootFS.system`."""

    python: bool = attrs.field(default=False, validator=instance_of(bool), kw_only=True)


def _path(value: StrPath) -> str:
    return text_path(value, "path")


@attrs.frozen(cache_hash=True)
class DirectoryRoot(RootFS):
    """See `RootFS.directory`."""

    path: str = attrs.field(converter=_path)
    readonly: bool = attrs.field(default=False, validator=instance_of(bool), kw_only=True)

    @property
    def _folders(self) -> tuple[str, ...]:
        return (self.path,)


def _lowers(value: Any) -> tuple[str, ...]:
    return paths(value, "lowers")


@attrs.frozen(cache_hash=True)
class OverlayRoot(RootFS):
    """See `RootFS.overlay`."""

    lowers: tuple[str, ...] = attrs.field(converter=_lowers)
    upper: str | None = attrs.field(default=None, converter=upper_path, kw_only=True)

    @property
    def _folders(self) -> tuple[str, ...]:
        return self.lowers


@attrs.frozen(cache_hash=True)
class EmptyRoot(RootFS):
    """See `RootFS.empty`."""
