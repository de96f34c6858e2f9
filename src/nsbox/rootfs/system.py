"""What of the host makes up `RootFS.system`: its programs and libraries, nothing of anybody's."""

import os
import stat

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


SMALL = 16 << 10
"""Bytes up to which a file is copied: to mount one costs more than that."""

FEW = 8
"""Entries up to which a folder of small files is copied."""


def system_tree(host: str = "/") -> Folder:
    """Return the tree of `RootFS.system`, from what the host has. Reads only."""
    root = Folder()
    for name in (*PROGRAMS, *(f"etc/{entry}" for entry in CONFIGURATION)):
        node = _entry(os.path.join(host, name))
        if node is not None:
            root.put(name, node)
    return root


def _entry(path: str) -> "Node | None":
    """Show a host's entry: a link into ``/usr`` as a link, what is small as a copy, else bound."""
    try:
        target = os.readlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return Bind(path, copied=_is_small(path))
    resolved = os.path.realpath(path)
    if not os.path.exists(resolved):
        return None
    if resolved.startswith("/usr/"):
        return Link(target)
    return Bind(path, copied=_is_small(resolved))


def _is_small(path: str) -> bool:
    """Whether it is cheap to copy, and everybody may read it."""
    about = os.lstat(path)
    if stat.S_ISREG(about.st_mode):
        return about.st_size <= SMALL and bool(about.st_mode & stat.S_IROTH)
    if not stat.S_ISDIR(about.st_mode) or about.st_mode & 0o005 != 0o005:
        return stat.S_ISLNK(about.st_mode)
    names = os.listdir(path)
    return len(names) <= FEW and all(_is_small(os.path.join(path, name)) for name in names)
