"""Where a root is built, and by whom: what its steps depend on beside the root itself."""

import functools
import os
import re

import attrs

from nsbox.caller import Caller
from nsbox.constants import Capability
from nsbox.procfs import parse_mountinfo
from nsbox.system_calls import lacks_mount_calls

FIRST_USER_NAMESPACE = "user:[4026531837]"
"""PROC_USER_INIT_INO, fixed in the kernel's headers."""


@attrs.frozen(kw_only=True)
class Site:
    """The place and the means of a root in the making.

    `place` is what it is mounted upon, ``/`` in a mnt namespace of its own (`own_mounts`), which
    is then entered; `changes_user`: in another user namespace than the caller's; `own_users`: in
    one other than the host's first; `devices`: whether devices can be made, and by nobody
    in the box; `pivots`: whether
    pivot_root(2) can be used; `work`: what the work folders of overlays are named by; `standard`:
    whether /proc, /dev and /tmp belong to it; `copied`: whether it is made of a template, which is
    in `Slot.NS_MNT`; `classic`: whether mount(2) must do.
    """

    kernel: tuple[int, int]
    changes_user: bool
    own_users: bool
    devices: bool
    pivots: bool
    work: str
    place: str = "/"
    own_mounts: bool = True
    standard: bool = True
    copied: bool = False
    classic: bool = False

    @classmethod
    def of(
        cls, caller: Caller, *, changes_user: bool, work: str, kept: Capability | None = None
    ) -> "Site":
        """Look at the host for a box of this caller, in a user namespace of its own or not.

        `kept` are the capabilities that the box will have, None for the caller's.
        """
        kept = caller.capabilities if kept is None else kept
        own_users = changes_user or os.readlink("/proc/self/ns/user") != FIRST_USER_NAMESPACE
        return cls(
            kernel=kernel_version(),
            changes_user=changes_user,
            own_users=own_users,
            devices=not own_users and bool(caller.capabilities & ~kept & Capability.CAP_MKNOD),
            pivots=_pivots(os.stat("/")[1:3]),
            work=work,
            classic=lacks_mount_calls(),
        )


def kernel_version() -> tuple[int, int]:
    """Return the first two numbers of the kernel's release; zeros if it has none. See uname(2)."""
    numbers = re.match(r"([0-9]+)\.([0-9]+)", os.uname().release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def is_initial(mountinfo: str) -> bool:
    """Tell whether ``/`` is the kernel's initial file system, which is not let go of.

    See pivot_root(2), NOTES, and the kernel's document filesystems/ramfs-rootfs-initramfs.
    """
    roots = [mount for mount in parse_mountinfo(mountinfo) if mount.mount_point == "/"]
    return bool(roots) and roots[-1].fs_type == "rootfs"


@functools.lru_cache(maxsize=8)
def _pivots(root: tuple[int, int]) -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return not is_initial(file.read())
