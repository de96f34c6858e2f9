"""What of the host makes up `RootFS.system`: its programs and libraries, nothing of anybody's."""

import os

from nsbox.rootfs.tree import Bind, Folder, Link, Node

PROGRAMS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
"""Folders of the root; on most systems all but ``usr`` are links into it. See hier(7)."""

CONFIGURATION = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "magic",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "resolv.conf",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""Entries of ``/etc`` that programs look for and that everybody may read.

A list of what is shown, not of what is hidden: a secret that is new to us stays out by itself, and
one that is replaced by rename(2) while a box runs does not come into view.
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
        return Bind(path)
    resolved = os.path.realpath(path)
    if not os.path.exists(resolved):
        return None
    return Link(target) if resolved.startswith("/usr/") else Bind(path)
