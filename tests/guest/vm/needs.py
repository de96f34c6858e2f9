"""What a guest takes of this machine, and what to install where it is missing."""

import os
import shutil
from pathlib import Path

QEMU = "qemu-system-x86_64"

VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
"""Shares the host's files; Debian 12 has it in qemu-system-common."""

PROGRAMS = {
    QEMU: "qemu-system-x86",
    "busybox": "busybox-static",
    "mke2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Each program, and the Debian package that has it."""


def missing() -> list[str]:
    """Name what keeps a guest from being started here, one sentence each."""
    found = [
        f"no {program} (Debian: {package})"
        for program, package in PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if not VIRTIOFSD.exists():
        found.append(f"no {VIRTIOFSD} (Debian 12: qemu-system-common)")
    if os.geteuid() != 0:
        found.append("needs root, to share the whole root file system with the guest")
    return found
