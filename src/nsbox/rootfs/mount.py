"""Mounts, as values: what is mounted where in a box."""

from pathlib import PurePosixPath
from typing import Any

import attrs

from nsbox.fields import StrPath, instance_of, text_path
from nsbox.sizes import size_in_bytes


def _target(value: StrPath) -> str:
    """Normalize a place in the box: absolute, without "." and "..", not the root itself."""
    path = PurePosixPath(text_path(value, "target"))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) == 1:
        raise ValueError(f"target: an absolute path below /, without '..', not {str(value)!r}")
    return "/" + "/".join(path.parts[1:])


def _source(value: StrPath) -> str:
    return text_path(value, "source")


def _optional_size(value: int | str | None) -> int | None:
    return None if value is None else size_in_bytes(value, "size")


def check_mode(_: Any, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Refuse all but permission bits."""
    if type(value) is not int or not 0 <= value <= 0o7777:
        raise ValueError(f"{attribute.name}: permission bits from 0 to 0o7777, not {value!r}")


@attrs.frozen
class Mount:
    """Something to be mounted at `target` in a box; made by `bind`, `tmpfs`, `proc`, `dev`, `file`.

    A value: nothing is looked up or mounted before a box starts.
    """

    target: str = attrs.field(converter=_target)

    @staticmethod
    def bind(
        source: StrPath,
        target: StrPath,
        *,
        readonly: bool = False,
        recursive: bool = True,
        noexec: bool = False,
    ) -> "BindMount":
        """Show a file or folder of the host at `target`. See mount(8), "Bind mount operation".

        `recursive` takes along what is mounted below `source`. Set-user-ID bits and devices have no
        effect there.
        """
        return BindMount(
            target, source=source, readonly=readonly, recursive=recursive, noexec=noexec
        )

    @staticmethod
    def tmpfs(
        target: StrPath, *, size: int | str | None = None, mode: int = 0o1777, noexec: bool = False
    ) -> "TmpfsMount":
        """Mount an empty file system in memory; `size` is its limit. See tmpfs(5)."""
        return TmpfsMount(target, size=size, mode=mode, noexec=noexec)

    @staticmethod
    def proc(target: StrPath = "/proc") -> "ProcMount":
        """Mount the box's own processes and kernel figures, what could harm masked: proc(5)."""
        return ProcMount(target)

    @staticmethod
    def dev(target: StrPath = "/dev") -> "DevMount":
        """Mount a small /dev: null, zero, full, random, urandom, tty, pts and shm."""
        return DevMount(target)

    @staticmethod
    def file(target: StrPath, content: str | bytes, *, mode: int = 0o644) -> "FileMount":
        """Put a file with this content at `target`; text is written as UTF-8."""
        return FileMount(target, content=content, mode=mode)


@attrs.frozen
class BindMount(Mount):
    """See `Mount.bind`."""

    source: str = attrs.field(converter=_source, kw_only=True)
    readonly: bool = attrs.field(default=False, validator=instance_of(bool), kw_only=True)
    recursive: bool = attrs.field(default=True, validator=instance_of(bool), kw_only=True)
    noexec: bool = attrs.field(default=False, validator=instance_of(bool), kw_only=True)


@attrs.frozen
class TmpfsMount(Mount):
    """See `Mount.tmpfs`."""

    size: int | None = attrs.field(default=None, converter=_optional_size, kw_only=True)
    mode: int = attrs.field(default=0o1777, validator=check_mode, kw_only=True)
    noexec: bool = attrs.field(default=False, validator=instance_of(bool), kw_only=True)


@attrs.frozen
class ProcMount(Mount):
    """See `Mount.proc`."""


@attrs.frozen
class DevMount(Mount):
    """See `Mount.dev`."""


def _content(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"content: bytes, or str that UTF-8 can write, not {value!r}") from None


@attrs.frozen
class FileMount(Mount):
    """See `Mount.file`."""

    content: bytes = attrs.field(
        converter=_content, kw_only=True, repr=lambda content: f"<{len(content)} bytes>"
    )
    mode: int = attrs.field(default=0o644, validator=check_mode, kw_only=True)
