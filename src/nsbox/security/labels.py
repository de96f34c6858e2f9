"""Profiles and labels of security modules that a command gets with its exec: lsm(7), apparmor(7).

They are set by lsm_set_self_attr(2) and not by a file in /proc, for in a box that may be anything.
See Documentation/userspace-api/lsm.rst.
"""

import enum
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.errors import UnsupportedError
from nsbox.fields import is_kernel_text
from nsbox.plan import Step

MAX_LENGTH = 1024


class Module(enum.IntEnum):
    """A security module, by its number in the kernel's headers."""

    LSM_ID_SELINUX = 101
    LSM_ID_APPARMOR = 104


def check_label(_: Any, attribute: "attrs.Attribute[str | None]", value: str | None) -> None:
    """Refuse what no module can be given."""
    if value is None:
        return
    if not value or not is_kernel_text(value) or len(value.encode()) > MAX_LENGTH - 16:
        raise ValueError(f"{attribute.name}: a name of the host's, not {value!r}")


def label_steps(apparmor: str | None, selinux: str | None) -> Iterator[Step]:
    """Lower both; raises `UnsupportedError` where this host has no such module, or no such call."""
    if apparmor is not None:
        _need("apparmor", _has_apparmor())
        yield Step(Operation.LABEL, (Module.LSM_ID_APPARMOR, f"exec {apparmor}"))
    if selinux is not None:
        _need("selinux", _has_selinux())
        yield Step(Operation.LABEL, (Module.LSM_ID_SELINUX, selinux))


def _need(field: str, there: bool) -> None:
    if not there:
        raise UnsupportedError(
            f"security: {field} is not among the security modules of this kernel: it must be built "
            "in, and named by lsm= on the kernel's command line"
        )
    if _native.ask("lsm_set_self_attr") == -errno.ENOSYS:
        raise UnsupportedError(f"security: {field} takes lsm_set_self_attr(2), which came with 6.8")


def _has_apparmor() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text() == "Y\n"
    except OSError:
        return False


def _has_selinux() -> bool:
    """Its file system is there to be mounted only where it is switched on."""
    try:
        return "\tselinuxfs\n" in Path("/proc/filesystems").read_text()
    except OSError:
        return False
