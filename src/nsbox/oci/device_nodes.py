"""Devices in a container's /dev: config-linux.md, "Devices". Here they are the host's, bound."""

import os
import stat

from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.rootfs import Mount
from nsbox.rootfs.dev import DEVICES

_KINDS = {"c": stat.S_ISCHR, "u": stat.S_ISCHR, "b": stat.S_ISBLK}


def read(linux: Node) -> list[Mount]:
    """Read devices as bind mounts of the host's, if that has them under the same path.

    Those that every box has are left out. Their inodes are the host's and read only: other
    permissions than they have cannot be had.
    """
    return [mount for node in linux.nodes("devices") if (mount := _read(node)) is not None]


def _read(node: Node) -> Mount | None:
    kind, path = node.need("type", str), node.need("path", str)
    with named(node.at("path")):
        mount = Mount.bind(path, path, readonly=True, noexec=True, nodev=False)
    if kind == "p":
        raise unsupported(node.at("type"), "a fifo is made by no Mount here")
    if kind not in _KINDS:
        raise invalid(node.at("type"), f"c, b, u or p, not {kind!r}")
    numbers = node.need("major", int), node.need("minor", int)
    folder, name = os.path.split(path)
    if folder == "/dev" and DEVICES.get(name) == numbers and kind != "b":
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise unsupported(node.path, f"it is shown as the host has it: {error}") from None
    there = os.major(found.st_rdev), os.minor(found.st_rdev)
    if not _KINDS[kind](found.st_mode) or there != numbers:
        raise unsupported(node.path, f"the host's {path} is another device")
    wanted = {
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
    for member, own in wanted.items():
        if node.has(member) and _plain(member, node.need(member, int)) != own:
            raise unsupported(node.at(member), f"that of the host's, {own}")
    return mount


def _plain(member: str, value: int) -> int:
    return value & 0o7777 if member == "fileMode" else value
