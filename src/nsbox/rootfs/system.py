"""What of the host makes up `RootFS.system`: its programs and libraries, nothing of anybody's."""

import os

from nsbox.rootfs.tree import Bind, Folder, Link, Node

PROGRAMS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
"""Folders of the root; on most systems all but ``usr`` are links into it. See hier(7)."""

CONFIGURATION = (
    "alternatives",
    "bash.bashrc",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "locale.alias",
    "locale.conf",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""Entries of ``/etc`` that programs look for and that everybody may read.

A list of what is shown, not of what is hidden: a secret that is new to us stays out by itself, and
one that is replaced by rename(2) while a box runs does not come into view. Each costs a mount, some
6 µs: what only installs or maintains a system is left out.
"""


def system_tree(host: str = "/") -> Folder:
    """Return the tree of `RootFS.system`, from what the host has. Reads only."""
    root = Folder()
    for name in (*PROGRAMS, *(f"etc/{entry}" for entry in CONFIGURATION)):
        node = _entry(os.path.join(host, name))
        if node is not None:
            root.put(name, node)
    return root


def _entry(path: str) -> "Node | None":
    """Show a host's entry: a link within its own folder or into ``/usr`` as a link, else bound."""
    try:
        target = os.readlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return Folder() if _is_empty(path) else Bind(path)
    resolved = os.path.realpath(path)
    if not os.path.exists(resolved):
        return None
    return Link(target) if resolved.startswith("/usr/") else Bind(path)


def _is_empty(path: str) -> bool:
    """Whether it is a folder that costs no mount to show."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False
