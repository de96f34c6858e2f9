"""A `BoxSpec` and its command as a configuration of the OCI runtime specification, and back.

What is written is of version 1.1; what is read may be of any 1.x. See
https://github.com/opencontainers/runtime-spec, config.md and config-linux.md.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from nsbox.fields import StrPath
from nsbox.namespace import NamespaceType
from nsbox.oci import mounts, namespaces, process, resources, seccomp
from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.oci.process import Args
from nsbox.rootfs import Mount, RootFS
from nsbox.rootfs.mount import BindMount
from nsbox.rootfs.root import DirectoryRoot, OverlayRoot
from nsbox.security import Security
from nsbox.spec import BoxSpec

VERSION = "1.1.0"
_VERSION = re.compile(r"1\.\d+\.\d+(?:[-+].*)?", re.ASCII)

_HOOKS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip

_REFUSED = {
    "sysctl": "a box has no kernel parameters of its own",
    "devices": "a box has the devices of Mount.dev, no others",
    "cgroupsPath": "a box makes its group itself, below the one given to start(cgroup=...)",
    "timeOffsets": "clocks are set when a namespace is made: join that by its path",
    "mountLabel": "security modules are not set up",
    "intelRdt": "the resctrl file system is not set up",
    "personality": "its names are not read: see BoxSpec.personality",
    "netDevices": "no devices are moved into a box",
    "memoryPolicy": "a command chooses its own",
}

_PLACES = {
    "cwd": "process.cwd",
    "env": "process.env",
    "group": "process.user.gid",
    "id_map": "linux.uidMappings",
    "io_priority": "process.ioPriority",
    "namespaces": "linux.namespaces",
    "nice": "process.scheduler.nice",
    "oom_score_adj": "process.oomScoreAdj",
    "scheduler": "process.scheduler",
    "umask": "process.user.umask",
    "user": "process.user.uid",
}
"""Where the fields of a spec stand that check themselves."""


def to_config(spec: BoxSpec, args: Args = (), *, root: StrPath | None = None) -> dict[str, Any]:
    """Return the configuration by which another runtime runs `args` as this spec's box would.

    The command is that of the spec if `args` is empty. `root` is the path of the tree, relative to
    the bundle or absolute; by default the folder of `RootFS.directory`. A user namespace in which
    the starter is alone is written for the caller. Raises `UnsupportedError`, naming the field of
    the spec, for what a bundle cannot say, and `ValueError` for a command that is none.
    """
    for field in ("link", "affinity", "personality", "ports"):
        if getattr(spec, field) not in (None, ()):
            raise unsupported(field, "a bundle cannot say it")
    listed = spec.rootfs.mounts
    linux = {
        **namespaces.write(spec),
        "resources": resources.write(spec.resources, reaches_devices=_reaches_devices(listed)),
        **mounts.write_paths(listed),
    }
    if spec.security.seccomp is not None:
        linux["seccomp"] = seccomp.write(spec.security.seccomp)
    config: dict[str, Any] = {
        "ociVersion": VERSION,
        "root": _root(spec.rootfs, root),
        "process": process.write(spec, args),
        "mounts": mounts.write(listed),
        "linux": linux,
    }
    return config if spec.hostname is None else {**config, "hostname": spec.hostname}


def _root(rootfs: RootFS, path: StrPath | None) -> dict[str, Any]:
    if path is not None:
        readonly = not isinstance(rootfs, DirectoryRoot | OverlayRoot)
        return {"path": os.fspath(path), "readonly": getattr(rootfs, "readonly", readonly)}
    if not isinstance(rootfs, DirectoryRoot):
        raise unsupported("rootfs", "a bundle needs a folder (`RootFS.directory`)")
    return {"path": os.path.abspath(rootfs.path), "readonly": rootfs.readonly}


def _reaches_devices(listed: tuple[Mount, ...]) -> bool:
    return any(isinstance(mount, BindMount) and not mount.nodev for mount in listed)


def from_config(
    config: Mapping[str, Any], *, bundle: StrPath = "."
) -> tuple[BoxSpec, tuple[str, ...]]:
    """Return the spec, and the command, that a configuration describes; `bundle` is its folder.

    Properties that are not known are ignored, as the specification says. Raises `UnsupportedError`
    for what cannot be honoured and `ValueError` for what is invalid; both begin with the JSON path,
    such as ``linux.intelRdt``.
    """
    node = Node.of("", dict(config) if isinstance(config, Mapping) else config)
    _check(node)
    linux, command = node.child("linux"), node.child("process")
    linux.refuse(_REFUSED)
    if linux.get("rootfsPropagation", str, "") not in ("", "private", "rprivate"):
        raise unsupported(linux.at("rootfsPropagation"), "the mounts of a box are its own")
    rootfs = _read_root(node, os.path.abspath(bundle))
    fields: dict[str, Any] = {
        **process.read(command),
        **namespaces.read(linux),
        "rootfs": rootfs,
        "resources": resources.read(linux, reaches_devices=_reaches_devices(rootfs.mounts)),
        "security": _read_security(command, linux),
        "hostname": node.get("hostname", str, "") or None,
    }
    if fields["hostname"] and NamespaceType.UTS not in fields["namespaces"]:
        raise invalid("hostname", "it takes a uts namespace that is new")
    return _spec(fields), process.read_args(command)


def _spec(fields: dict[str, Any]) -> BoxSpec:
    try:
        return BoxSpec(**fields)
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise invalid(_PLACES.get(field, field), reason) from None


def _check(node: Node) -> None:
    version = node.need("ociVersion", str)
    if not _VERSION.fullmatch(version):
        raise unsupported("ociVersion", f"1.x is read, not {version!r}")
    node.refuse({"domainname": "a box has no NIS name", "vm": "a box is no virtual machine"})
    node.child("hooks").refuse(dict.fromkeys(_HOOKS, "hooks are not run"))
    if not node.has("process"):
        raise invalid("process", "it is missing")
    if not node.has("root"):
        raise invalid("root", "it is missing")


def _read_root(node: Node, bundle: str) -> RootFS:
    root = node.child("root")
    path = root.need("path", str)
    readonly = root.get("readonly", bool, False)
    with named(root.at("path")):
        folder = os.path.abspath(os.path.join(bundle, path))
        rootfs = RootFS.directory(folder, readonly=readonly)
    return rootfs.with_mounts(*mounts.read(node, bundle, folder, readonly=readonly))


def _read_security(command: Node, linux: Node) -> Security:
    fields = process.read_security(command)
    found = seccomp.read(linux)
    if found is not None and not fields["no_new_privs"]:
        raise unsupported(linux.at("seccomp"), "a filter takes process.noNewPrivileges")
    return Security(**fields, seccomp=found)
