"""A root file system, as a value."""

from collections.abc import Iterable
from typing import Any

import attrs

from nsbox.fields import StrPath, instance_of, text_path
from nsbox.rootfs.mount import Mount


def _path(value: StrPath | None) -> str | None:
    return None if value is None else text_path(value, "path")


def _mounts(value: Any) -> tuple[Mount, ...]:
    mounts = tuple(value) if isinstance(value, Iterable) else (value,)
    for mount in mounts:
        if not isinstance(mount, Mount):
            raise ValueError(f"mounts: values made by Mount.bind, Mount.tmpfs ..., not {mount!r}")
    return mounts


@attrs.frozen(cache_hash=True)
class RootFS:
    """What a box takes for ``/``; made by `system` or `directory`, added to by `with_mounts`.

    Every root has /proc, /dev and a private /tmp, unless one of `mounts` takes their place.
    """

    path: str | None = attrs.field(default=None, converter=_path)
    readonly: bool = attrs.field(default=True, validator=instance_of(bool), kw_only=True)
    mounts: tuple[Mount, ...] = attrs.field(default=(), converter=_mounts, kw_only=True)

    @classmethod
    def system(cls) -> "RootFS":
        """The host's own programs and libraries, read only.

        ``/usr`` (and ``/bin``, ``/lib`` ... where they are apart) and a selection of ``/etc`` that
        holds no secrets; nobody's home, no ``/run``, no ``/var``.
        """
        return cls()

    @classmethod
    def directory(cls, path: StrPath, *, readonly: bool = False) -> "RootFS":
        """A folder of the host as the root.

        Where it is writable, mount points that it lacks (``/proc`` ...) are made in the folder, as
        other container runtimes do it. A read-only one is left as it is: the box sees a folder
        in memory with the tree's entries and the missing mount points in it.
        """
        return cls(text_path(path, "path"), readonly=readonly)

    def with_mounts(self, *mounts: Mount) -> "RootFS":
        """Return this root with more mounts on it: in the order given, later over earlier."""
        return attrs.evolve(self, mounts=self.mounts + mounts)
