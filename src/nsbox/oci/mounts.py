"""Mounts, and paths that are masked or read only: config.md, "Mounts"; config-linux.md."""

import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from nsbox.oci import device_nodes
from nsbox.oci.document import Node, named, unsupported
from nsbox.oci.namespaces import mappings, read_map
from nsbox.oci.options import Options, bind_options
from nsbox.rootfs import Mount
from nsbox.rootfs.lower import STANDARD_MOUNTS
from nsbox.rootfs.mount import (
    BindMount,
    CgroupMount,
    DevMount,
    DevptsMount,
    MaskedMount,
    MqueueMount,
    ProcMount,
    ReadonlyMount,
    SysfsMount,
    TmpfsMount,
)
from nsbox.rootfs.proc import MASKED, READONLY

_QUIET = ["nosuid", "noexec", "nodev"]
_IN_DEV: tuple[Mount, ...] = (Mount.devpts(), Mount.tmpfs("/dev/shm", noexec=True))
"""What `Mount.dev` holds that is a mount of its own in a bundle."""

_PTS = {"newinstance": ("",), "ptmxmode": ("0666", "666"), "gid": ("5",)}
"""Options of devpts that say what is so anyway, and the group that runtimes' own bundles name."""

_HIDEPID = {"0": "off", "1": "noaccess", "2": "invisible", "4": "ptraceable"}


def write(mounts: Sequence[Mount]) -> list[dict[str, Any]]:
    """Write the mounts of a root, with those that every box has; not what is masked."""
    chosen = {mount.target for mount in mounts}
    written = []
    for mount in STANDARD_MOUNTS:
        if mount.target not in chosen:
            written += _written(mount, "")
    for number, mount in enumerate(mounts):
        if not isinstance(mount, MaskedMount | ReadonlyMount):
            _check_order(mounts[:number], mount, number)
            written += _written(mount, f"rootfs.mounts[{number}]")
    return written


def write_paths(mounts: Sequence[Mount]) -> dict[str, Any]:
    """Write ``maskedPaths`` and ``readonlyPaths``, with those of each /proc."""
    procs = [m for m in mounts if isinstance(m, ProcMount) and m.subset is None]
    if not any(mount.target == "/proc" for mount in mounts):
        procs.insert(0, ProcMount("/proc"))
    masked = [f"{proc.target}/{name}" for proc in procs for name in MASKED]
    readonly = [f"{proc.target}/{name}" for proc in procs for name in READONLY]
    masked += [mount.target for mount in mounts if isinstance(mount, MaskedMount)]
    readonly += [mount.target for mount in mounts if isinstance(mount, ReadonlyMount)]
    return {"maskedPaths": masked, "readonlyPaths": readonly}


def _check_order(before: Sequence[Mount], mount: Mount, number: int) -> None:
    """Refuse a mount upon what is masked: a runtime masks when all is mounted."""
    for other in before:
        if isinstance(other, MaskedMount | ReadonlyMount) and PurePosixPath(
            mount.target
        ).is_relative_to(other.target):
            raise unsupported(
                f"rootfs.mounts[{number}]", f"a bundle cannot have it after {other!r}"
            )


def _written(mount: Mount, field: str) -> list[dict[str, Any]]:
    match mount:
        case BindMount(source=source, idmap=idmap):
            bound = _entry(mount, "bind", bind_options(mount), os.path.abspath(source))
            return [{**bound, **({} if idmap is None else mappings(idmap))}]
        case TmpfsMount(size=size, mode=mode, noexec=noexec) if mount.target != "/dev":
            options = ["nosuid", *(["noexec"] if noexec else []), "nodev"]
            options += [] if mode is None else [f"mode={mode:o}"]
            options += ["tmpcopyup"] if mount.copy_up else []
            return [_entry(mount, "tmpfs", options + ([f"size={size}"] if size else []))]
        case ProcMount(hidepid=hidepid, subset=subset):
            options = [*_QUIET, *([f"hidepid={hidepid}"] if hidepid != "off" else [])]
            return [_entry(mount, "proc", options + ([f"subset={subset}"] if subset else []))]
        case SysfsMount(readonly=readonly):
            return [_entry(mount, "sysfs", [*_QUIET, "ro" if readonly else "rw"])]
        case CgroupMount():
            return [_entry(mount, "cgroup", [*_QUIET, "relatime", "ro"])]
        case DevptsMount(mode=mode):
            options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", f"mode=0{mode:o}"]
            return [_entry(mount, "devpts", options)]
        case MqueueMount():
            return [_entry(mount, "mqueue", _QUIET)]
        case DevMount(target="/dev"):
            options = ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]
            inside = [entry for one in _IN_DEV for entry in _written(one, field)]
            return [_entry(mount, "tmpfs", options), *inside]
    raise unsupported(field, f"a bundle cannot say {mount!r}")


def _entry(
    mount: Mount, kind: str, options: list[str], source: str | None = None
) -> dict[str, Any]:
    return {
        "destination": mount.target,
        "type": kind,
        "source": kind if source is None else source,
        "options": options,
    }


def read(config: Node, bundle: str, root: str, *, readonly: bool) -> tuple[Mount, ...]:
    """Read the mounts of a root; those that every box has are left out.

    Where none of them is about /tmp, that of the folder `root` is kept in its place.
    """
    mounts = [_read(node, bundle) for node in config.nodes("mounts")]
    mounts += device_nodes.read(config.child("linux"))
    if not any(mount.target == "/tmp" for mount in mounts):
        folder = os.path.join(root, "tmp")
        if os.path.isdir(folder) and not os.path.islink(folder):
            kept = Mount.bind(folder, "/tmp", readonly=readonly)
            mounts.insert(0, kept)
    linux = config.child("linux")
    return (*_without_standard(mounts), *_read_paths(linux, mounts))


def _without_standard(mounts: list[Mount]) -> list[Mount]:
    if (dev := Mount.dev()) in mounts:
        for inner in _IN_DEV:
            if inner in mounts[mounts.index(dev) :]:
                mounts.remove(inner)
    for one in STANDARD_MOUNTS:
        if mounts[:1] == [one] and all(mount.target != one.target for mount in mounts[1:]):
            mounts = mounts[1:]
    return mounts


def _read_paths(linux: Node, mounts: list[Mount]) -> list[Mount]:
    """Read paths that are masked and read only; /proc brings its own."""
    procs = {mount.target for mount in mounts if isinstance(mount, ProcMount)} | {"/proc"}
    found: list[Mount] = []
    for member, make in (("maskedPaths", Mount.masked), ("readonlyPaths", Mount.readonly_path)):
        known = MASKED if member == "maskedPaths" else (*MASKED, *READONLY)
        for number, target in enumerate(linux.texts(member)):
            folder, name = os.path.split(target)
            if folder in procs and (name in known or not os.path.lexists(f"/proc/{name}")):
                continue
            with named(f"{linux.at(member)}[{number}]"):
                found.append(make(target))
    return found


def _read(node: Node, bundle: str) -> Mount:
    target, options = node.need("destination", str), Options.read(node)
    with named(node.at("destination")):
        Mount(target)
    kind = node.get("type", str, "")
    options.check_map(mapped=bool(node.members.get("uidMappings")))
    if options.bind or kind in ("bind", "rbind"):
        with named(node.at("source")):
            mount = _read_bind(node, options, bundle)
    else:
        node.refuse(dict.fromkeys(("uidMappings", "gidMappings"), "bind mounts alone are mapped"))
        if options.propagation != "private":
            raise unsupported(options.path, f"{options.propagation} is for bind mounts")
        with named(options.path):
            mount = _read_new(node, kind, target, options)
    options.refuse_rest()
    return mount


def _read_bind(node: Node, options: Options, bundle: str) -> Mount:
    source = node.get("source", str, "")
    if not source or "\0" in source:
        raise ValueError(f"a path, not {source!r}")
    return Mount.bind(
        os.path.abspath(os.path.join(bundle, source)),
        node.need("destination", str),
        readonly="ro" in options.on,
        recursive=options.bind == "rbind" or node.get("type", str, "") == "rbind",
        nosuid="nosuid" in options.on,
        nodev="nodev" in options.on,
        noexec="noexec" in options.on,
        idmap=read_map(node) if node.members.get("uidMappings") else None,
        propagation=options.propagation,
    )


def _read_new(node: Node, kind: str, target: str, options: Options) -> Mount:
    values = options.values
    options.refuse_off("nosuid", *(["nodev"] if target != "/dev" else []))
    if kind in ("cgroup", "cgroup2") and "ro" not in options.on:
        raise unsupported(options.path, "cgroup trees are always ro")
    if "ro" in options.on and kind not in ("cgroup", "cgroup2", "sysfs"):
        raise unsupported(options.path, f"ro, for {kind or 'no type'}")
    match kind:
        case "tmpfs" if target == "/dev":
            values.pop("size", None)
            options.mode(0o755)
            return Mount.dev(target)
        case "tmpfs":
            return _read_tmpfs(target, options)
        case "proc":
            given: Any = {n: values.pop(n) for n in ("hidepid", "subset") if n in values}
            if "hidepid" in given:
                given["hidepid"] = _HIDEPID.get(given["hidepid"], given["hidepid"])
            return Mount.proc(target, **given)
        case "sysfs":
            return Mount.sysfs(target, readonly="ro" in options.on)
        case "cgroup" | "cgroup2":
            return Mount.cgroup(target)
        case "mqueue":
            return Mount.mqueue(target)
        case "devpts":
            for name, said in _PTS.items():
                if values.get(name) in said:
                    del values[name]
            return Mount.devpts(target, mode=options.mode(0o620))
    raise unsupported(node.at("type"), f"{kind or 'missing'}, which is mounted by no Mount here")


def _read_tmpfs(target: str, options: Options) -> Mount:
    copy_up = options.values.get("tmpcopyup") == ""
    if copy_up:
        del options.values["tmpcopyup"]
    own = copy_up and "mode" not in options.values
    return Mount.tmpfs(
        target,
        size=options.values.pop("size", None),
        mode=None if own else options.mode(0o1777),
        noexec="noexec" in options.on,
        copy_up=copy_up,
    )
