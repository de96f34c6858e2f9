"""A `BoxSpec` and its command as a configuration of the OCI runtime specification, and back.

What is written is of version 1.1; what is read may be of any 1.x. See
https://github.com/opencontainers/runtime-spec, config.md and config-linux.md.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import attrs

from nsbox.fields import StrPath
from nsbox.namespace import NamespaceType
from nsbox.oci import (
    agent,
    hooks,
    memory,
    mounts,
    namespaces,
    net_devices,
    process,
    resources,
    seccomp,
)
from nsbox.oci.agent import Agent
from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.oci.hooks import Hooks
from nsbox.oci.process import Args
from nsbox.options import Options
from nsbox.rootfs import Mount, RootFS
from nsbox.rootfs.mount import BindMount
from nsbox.rootfs.root import DirectoryRoot, OverlayRoot
from nsbox.security import Seccomp, Security
from nsbox.spec import BoxSpec

VERSION = "1.1.0"
_VERSION = re.compile(r"1\.\d+\.\d+(?:[-+].*)?", re.ASCII)

_REFUSED = {
    "mountLabel": "files are not labelled",
    "intelRdt": "the resctrl file system is not set up",
}

_PLACES = {
    "cwd": "process.cwd",
    "domainname": "domainname",
    "env": "process.env",
    "group": "process.user.gid",
    "id_map": "linux.uidMappings",
    "io_priority": "process.ioPriority",
    "namespaces": "linux.namespaces",
    "nice": "process.scheduler.nice",
    "oom_score_adj": "process.oomScoreAdj",
    "scheduler": "process.scheduler",
    "sysctl": "linux.sysctl",
    "time_offsets": "linux.timeOffsets",
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
    for field in ("link", "affinity", "ports"):
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
    if spec.memory_policy is not None:
        linux["memoryPolicy"] = memory.write(spec.memory_policy)
    if spec.personality is not None:
        linux["personality"] = _write_personality(spec.personality)
    if spec.sysctl:
        linux["sysctl"] = dict(spec.sysctl)
    names = {"hostname": spec.hostname, "domainname": spec.domainname}
    return {**config, **{member: name for member, name in names.items() if name is not None}}


_PERSONALITIES = {0x0000: "LINUX", 0x0008: "LINUX32"}
"""PER_LINUX and PER_LINUX32: see personality(2)."""


def _write_personality(personality: int) -> dict[str, str]:
    if personality not in _PERSONALITIES:
        raise unsupported("personality", "a bundle says PER_LINUX and PER_LINUX32 alone")
    return {"domain": _PERSONALITIES[personality]}


def _read_personality(linux: Node) -> int | None:
    node = linux.child("personality")
    if not node.members:
        return None
    node.refuse({"flags": "the specification names none"})
    domain = node.need("domain", str)
    for number, name in _PERSONALITIES.items():
        if name == domain:
            return number
    raise invalid(node.at("domain"), f"LINUX or LINUX32, not {domain!r}")


def _root(rootfs: RootFS, path: StrPath | None) -> dict[str, Any]:
    if path is not None:
        readonly = not isinstance(rootfs, DirectoryRoot | OverlayRoot)
        return {"path": os.fspath(path), "readonly": getattr(rootfs, "readonly", readonly)}
    if not isinstance(rootfs, DirectoryRoot):
        raise unsupported("rootfs", "a bundle needs a folder (`RootFS.directory`)")
    return {"path": os.path.abspath(rootfs.path), "readonly": rootfs.readonly}


def _reaches_devices(listed: tuple[Mount, ...]) -> bool:
    return any(isinstance(mount, BindMount) and not mount.nodev for mount in listed)


@attrs.frozen(kw_only=True)
class Description:
    """All that a configuration says: a spec and its command, and what takes a `Container`.

    `filter` is one that is loaded without no_new_privs, which `Security` does not have;
    `exec_affinity` is for commands that join; `agent` is asked about system calls, where the
    handler of the filter only stands for it.
    """

    spec: BoxSpec
    args: tuple[str, ...]
    options: Options
    filter: Seccomp | None
    hooks: Hooks
    annotations: dict[str, str]
    cgroups_path: str | None
    net_devices: dict[str, str]
    exec_affinity: frozenset[int] | None
    agent: Agent | None


def from_config(
    config: Mapping[str, Any], *, bundle: StrPath = "."
) -> tuple[BoxSpec, tuple[str, ...]]:
    """Return the spec, and the command, that a configuration describes; `bundle` is its folder.

    Properties that are not known are ignored, as the specification says. Raises `UnsupportedError`
    for what cannot be honoured and `ValueError` for what is invalid; both begin with the JSON path,
    such as ``linux.intelRdt``. What takes a `Container` is refused, too.
    """
    said = describe(config, bundle=bundle)
    node = Node.of("", dict(config))
    linux, command = node.child("linux"), node.child("process")
    node.child("hooks").refuse(dict.fromkeys(said.hooks, "hooks are run by a Container"))
    command.refuse({"terminal": "a Container has it, or popen(pty=True); else let it be false"})
    command.child("user").refuse(
        {"additionalGids": "a Container has them; else they are given to run(extra_groups=...)"}
    )
    linux.refuse(
        {
            "cgroupsPath": "a Container is there; a box is below what start(cgroup=...) names",
            "netDevices": "a Container has them; a box is on a link",
        }
    )
    if said.agent is not None:
        raise unsupported(linux.at("seccomp.listenerPath"), "a Container asks others")
    if said.filter is not None:
        raise unsupported(linux.at("seccomp"), "without process.noNewPrivileges: a Container does")
    return said.spec, said.args


def describe(
    config: Mapping[str, Any], *, bundle: StrPath = ".", umask: int = 0o022
) -> Description:
    """Read all of a configuration, as `from_config` does; `umask` is for one that says none."""
    node = Node.of("", dict(config) if isinstance(config, Mapping) else config)
    _check(node)
    linux, command = node.child("linux"), node.child("process")
    linux.refuse(_REFUSED)
    if linux.get("rootfsPropagation", str, "") not in ("", "private", "rprivate"):
        raise unsupported(linux.at("rootfsPropagation"), "the mounts of a box are its own")
    rootfs = _read_root(node, os.path.abspath(bundle))
    security = process.read_security(command)
    filter_ = seccomp.read(linux)
    asked = agent.read(linux, filter_)
    if security["no_new_privs"]:
        security["seccomp"], filter_ = filter_, None
    fields: dict[str, Any] = {
        **process.read(command, umask=umask),
        **namespaces.read(linux),
        "rootfs": rootfs,
        "resources": resources.read(linux, reaches_devices=_reaches_devices(rootfs.mounts)),
        "security": Security(**{"seccomp": None, **security}),
        "hostname": node.get("hostname", str, "") or None,
        "domainname": node.get("domainname", str, "") or None,
        "sysctl": linux.child("sysctl").members,
        "memory_policy": memory.read(linux),
        "personality": _read_personality(linux),
    }
    for member in ("hostname", "domainname"):
        if fields[member] and NamespaceType.UTS not in fields["namespaces"]:
            raise invalid(member, "it takes a uts namespace that is new")
    return Description(
        spec=_spec(fields),
        args=process.read_args(command),
        options=process.read_options(command),
        filter=filter_,
        hooks=hooks.read(node),
        annotations=_read_annotations(node),
        cgroups_path=linux.get("cgroupsPath", str, "") or None,
        net_devices=net_devices.read(linux),
        exec_affinity=process.read_exec_affinity(command),
        agent=asked,
    )


def _read_annotations(node: Node) -> dict[str, str]:
    found = node.child("annotations")
    for name in found.members:
        found.need(name, str)
    return dict(found.members)


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
    node.refuse({"vm": "a box is no virtual machine"})
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
