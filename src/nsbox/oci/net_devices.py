"""Links of the host's that a container has: config-linux.md, "Network Devices"."""

import re

from nsbox.namespace import Namespace, NamespaceType
from nsbox.oci.document import Node, invalid

_NAME = re.compile(r"(?!\.{1,2}\Z)[^\s/:%\0]{1,15}")  # as dev_valid_name of the kernel's has it
_NUMBERED = re.compile(r"[^\s/:%\0]{1,13}%d")


def read(linux: Node) -> dict[str, str]:
    """Read ``netDevices``: the name of each in the container, by its name here."""
    node = linux.child("netDevices")
    found: dict[str, str] = {}
    for link in node.members:
        name = node.child(link).get("name", str, "") or link
        if not _NAME.fullmatch(link):
            raise invalid(node.at(link), "a link has no such name")
        if not _NAME.fullmatch(name) and not _NUMBERED.fullmatch(name):
            raise invalid(f"{node.at(link)}.name", f"a name of a link, not {name!r}")
        if name in found.values() and not _NUMBERED.fullmatch(name):
            raise invalid(f"{node.at(link)}.name", f"another is to be {name!r}")
        found[link] = name
    if found and not any(
        one.get("type", str, "") == "network" for one in linux.nodes("namespaces")
    ):
        raise invalid(node.path, "they take a network namespace of the container's")
    return found


def move(links: dict[str, str], pid: int) -> None:
    """Move them to where a process is. See `nsbox.network.moved`."""
    if not links:
        return
    from nsbox.network import moved  # noqa: PLC0415 - an extra, and slow to load

    with Namespace.of(pid, NamespaceType.NET) as namespace:
        moved.move(links, namespace)
