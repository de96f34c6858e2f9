"""Mounts, as values: what is mounted where in a box."""

from typing import Literal, TypeAlias

import attrs

from nsbox.display import Displayed
from nsbox.fields import StrPath
from nsbox.namespace.idmap import IDMap
from nsbox.rootfs import fields

Spreading: TypeAlias = Literal["private", "slave", "shared"]
HidePid: TypeAlias = Literal["off", "noaccess", "invisible", "ptraceable"]


@attrs.frozen
class Mount(Displayed):
    """Something to be mounted at `target` in a box; made by `bind`, `tmpfs`, `proc`, `file` ...

    A value: nothing is looked up or mounted before a box starts. Set-user-ID bits and devices have
    no effect on a mount unless its parameters say so.
    """

    target: str = attrs.field(converter=fields.place)

    @property
    def sources(self) -> tuple[str, ...]:
        """The files and folders of the host that it shows, as they were given."""
        return ()

    @staticmethod
    def bind(
        source: StrPath,
        target: StrPath,
        *,
        readonly: bool = False,
        recursive: bool = True,
        nosuid: bool = True,
        nodev: bool = True,
        noexec: bool = False,
        idmap: IDMap | None = None,
        propagation: Spreading = "private",
    ) -> "BindMount":
        """Show a file or folder of the host at `target`. See mount(8), "Bind mount operation".

        `recursive` takes along what is mounted below `source`; `readonly` and the three flags hold
        there too. `idmap` shows the files of each id *inside* the map as those of the id *outside*
        (`IDMap.ranges`; for a starter with CAP_SYS_ADMIN on the host, and a file system that can
        do it): mount_setattr(2), "ID-mapped mounts".

        `propagation` is about mounts made below later on, see mount_namespaces(7): with "private"
        neither side sees those of the other; with "slave" the box sees what the host mounts below
        `source`; with "shared" the host sees, too, what the box mounts there, if the box has no
        user namespace of its own. Both take a `source` that is shared on the host, as systemd
        makes all of them.
        """
        return BindMount(
            target,
            source=source,
            readonly=readonly,
            recursive=recursive,
            nosuid=nosuid,
            nodev=nodev,
            noexec=noexec,
            idmap=idmap,
            propagation=propagation,
        )

    @staticmethod
    def tmpfs(
        target: StrPath,
        *,
        size: int | str | None = None,
        mode: int | None = None,
        noexec: bool = False,
        copy_up: bool = False,
    ) -> "TmpfsMount":
        """Mount a file system in memory; `size` is its limit. See tmpfs(5).

        It is empty, or begins with a copy of all that the folder has there (`copy_up`). `mode` is
        0o1777 if None, or with `copy_up` as the folder's, with its owner.
        """
        mode = 0o1777 if mode is None and not copy_up else mode
        return TmpfsMount(target, size=size, mode=mode, noexec=noexec, copy_up=copy_up)

    @staticmethod
    def overlay(target: StrPath, *lowers: StrPath, upper: StrPath | None = None) -> "OverlayMount":
        """Lay folders over each other at `target`, what is written apart: see `RootFS.overlay`."""
        return OverlayMount(target, lowers=lowers, upper=upper)

    @staticmethod
    def proc(
        target: StrPath = "/proc",
        *,
        hidepid: HidePid = "off",
        subset: Literal["pid"] | None = None,
    ) -> "ProcMount":
        """Mount the box's own processes and kernel figures, what could harm masked: proc(5).

        `hidepid` keeps users from each other's processes; ``subset="pid"`` leaves nothing but
        processes.
        """
        return ProcMount(target, hidepid=hidepid, subset=subset)

    @staticmethod
    def sysfs(target: StrPath = "/sys", *, readonly: bool = True) -> "SysfsMount":
        """Mount the kernel's objects, of the network those of the box's namespace: sysfs(5)."""
        return SysfsMount(target, readonly=readonly)

    @staticmethod
    def cgroup(target: StrPath = "/sys/fs/cgroup") -> "CgroupMount":
        """Mount the cgroup trees read only, from the root of the box's cgroup namespace on.

        One tree on a v2 host; on a v1 or hybrid one a folder of trees, named as usual there. See
        cgroups(7).
        """
        return CgroupMount(target)

    @staticmethod
    def devpts(target: StrPath = "/dev/pts", *, mode: int = 0o620) -> "DevptsMount":
        """Mount pseudo-terminals of the box's own; each has `mode`. See pts(4)."""
        return DevptsMount(target, mode=mode)

    @staticmethod
    def mqueue(target: StrPath = "/dev/mqueue") -> "MqueueMount":
        """Mount the message queues of the box's ipc namespace: mq_overview(7)."""
        return MqueueMount(target)

    @staticmethod
    def dev(target: StrPath = "/dev") -> "DevMount":
        """Mount a small /dev: null, zero, full, random, urandom, tty, pts and shm."""
        return DevMount(target)

    @staticmethod
    def file(target: StrPath, content: str | bytes, *, mode: int = 0o644) -> "FileMount":
        """Put a file with this content at `target`; text is written as UTF-8."""
        return FileMount(target, content=content, mode=mode)

    @staticmethod
    def secret(target: StrPath, content: str | bytes, *, mode: int = 0o400) -> "SecretMount":
        """Put a file at `target` that is in memory only, read only, and in no plan or message.

        It has a tmpfs of its own, kept out of swap where the kernel can (6.4, for root).
        """
        return SecretMount(target, content=content, mode=mode)

    @staticmethod
    def symlink(target: StrPath, to: StrPath) -> "SymlinkMount":
        """Make a symbolic link at `target` that leads to `to`: symlink(7)."""
        return SymlinkMount(target, to=to)

    @staticmethod
    def masked(target: StrPath) -> "MaskedMount":
        """Hide what is at `target`: a folder looks empty, a file reads as /dev/null.

        Nothing happens where nothing is.
        """
        return MaskedMount(target)

    @staticmethod
    def readonly_path(target: StrPath) -> "ReadonlyMount":
        """Let what is at `target`, and mounted below, be read only."""
        return ReadonlyMount(target)


@attrs.frozen
class BindMount(Mount):
    """See `Mount.bind`."""

    source: str = attrs.field(converter=fields.source_path, kw_only=True)
    readonly: bool = fields.flag(False)
    recursive: bool = fields.flag(True)
    nosuid: bool = fields.flag(True)
    nodev: bool = fields.flag(True)
    noexec: bool = fields.flag(False)
    idmap: IDMap | None = attrs.field(default=None, validator=fields.check_idmap, kw_only=True)
    propagation: Spreading = attrs.field(
        default="private", validator=fields.one_of(Spreading), kw_only=True
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The file or folder that is bound."""
        return (self.source,)


@attrs.frozen
class TmpfsMount(Mount):
    """See `Mount.tmpfs`."""

    size: int | None = attrs.field(default=None, converter=fields.optional_size, kw_only=True)
    mode: int | None = fields.optional_mode_bits(0o1777)
    noexec: bool = fields.flag(False)
    copy_up: bool = fields.flag(False)


@attrs.frozen
class OverlayMount(Mount):
    """See `Mount.overlay`."""

    lowers: tuple[str, ...] = attrs.field(converter=fields.lower_paths, kw_only=True)
    upper: str | None = attrs.field(default=None, converter=fields.upper_path, kw_only=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """The lower folders."""
        return self.lowers


@attrs.frozen
class ProcMount(Mount):
    """See `Mount.proc`."""

    hidepid: HidePid = attrs.field(default="off", validator=fields.one_of(HidePid), kw_only=True)
    subset: Literal["pid"] | None = attrs.field(
        default=None, validator=fields.check_subset, kw_only=True
    )


@attrs.frozen
class SysfsMount(Mount):
    """See `Mount.sysfs`."""

    readonly: bool = fields.flag(True)


@attrs.frozen
class CgroupMount(Mount):
    """See `Mount.cgroup`."""


@attrs.frozen
class DevptsMount(Mount):
    """See `Mount.devpts`."""

    mode: int = fields.mode_bits(0o620)


@attrs.frozen
class MqueueMount(Mount):
    """See `Mount.mqueue`."""


@attrs.frozen
class DevMount(Mount):
    """See `Mount.dev`."""


@attrs.frozen
class FileMount(Mount):
    """See `Mount.file`."""

    content: bytes = attrs.field(converter=fields.content_bytes, kw_only=True, repr=fields.hidden)
    mode: int = fields.mode_bits(0o644)


@attrs.frozen
class SecretMount(Mount):
    """See `Mount.secret`."""

    content: bytes = attrs.field(converter=fields.content_bytes, kw_only=True, repr=fields.hidden)
    mode: int = fields.mode_bits(0o400)


@attrs.frozen
class SymlinkMount(Mount):
    """See `Mount.symlink`."""

    to: str = attrs.field(converter=fields.link_target, kw_only=True)


@attrs.frozen
class MaskedMount(Mount):
    """See `Mount.masked`."""


@attrs.frozen
class ReadonlyMount(Mount):
    """See `Mount.readonly_path`."""
