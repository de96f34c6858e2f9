"""The process: config.md, "Process"."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

from nsbox.cgroup.formats import number_list
from nsbox.commands import arguments
from nsbox.constants import Capability
from nsbox.fields import is_kernel_text
from nsbox.namespace.idmap import MAX_ID
from nsbox.oci import standing
from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.options import Options, Pty
from nsbox.pipes import StrOrBytesPath
from nsbox.scheduling import read_affinity
from nsbox.security.capabilities import ALL_CAPABILITIES
from nsbox.security.rlimits import NUMBERS, read_limits
from nsbox.spec import BoxSpec

Args = StrOrBytesPath | Sequence[StrOrBytesPath]


def write(spec: BoxSpec, args: Args) -> dict[str, Any]:
    """Write ``process``: the command `args` (that of the spec if empty), and what it may do."""
    security = spec.security
    if security.landlock is not None:
        raise unsupported("security.landlock", "a bundle cannot say it")
    if security.keyring is not None:
        raise unsupported("security.keyring", "a bundle cannot say it")
    kept = [str(one.name) for one in security.capabilities]
    sets = dict.fromkeys(("bounding", "effective", "permitted"), kept)
    if security.ambient:
        ambient = [str(one.name) for one in security.ambient]
        sets |= dict.fromkeys(("ambient", "inheritable"), ambient)
    id_map = spec.id_map
    root = (id_map.uid, id_map.gid) if id_map.uids else (0, 0)
    labels = {"apparmorProfile": security.apparmor, "selinuxLabel": security.selinux}
    return {
        **{name: label for name, label in labels.items() if label is not None},
        "terminal": False,
        "user": {
            "uid": root[0] if spec.user is None else spec.user,
            "gid": root[1] if spec.group is None else spec.group,
            "umask": spec.umask,
        },
        "args": [
            _text(os.fsdecode(argument), "args")
            for argument in arguments(args if args else spec.args)
        ],
        "env": [_text(f"{name}={value}", "env") for name, value in spec.env.items()],
        "cwd": _text(spec.cwd, "cwd"),
        "capabilities": sets,
        "rlimits": [
            {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}
            for name, (soft, hard) in security.rlimits.items()
        ],
        "noNewPrivileges": security.no_new_privs,
        **standing.write(spec),
    }


def _text(value: str, field: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field}: JSON holds UTF-8 only, not {value!r}") from None
    return value


def read_args(process: Node) -> tuple[str, ...]:
    """Read the command."""
    args = tuple(process.texts("args"))
    if not args or not args[0] or not all(is_kernel_text(one) for one in args):
        raise invalid(process.at("args"), f"a program and its arguments, not {args!r}")
    return args


def read(process: Node, *, umask: int) -> dict[str, Any]:
    """Read the fields of a spec that are about its commands; `umask` is where none is said."""
    user = process.child("user")
    cwd = process.need("cwd", str)
    if not cwd.startswith("/"):
        raise invalid(process.at("cwd"), f"an absolute path, not {cwd!r}")
    return {
        "cwd": cwd,
        "env": _read_env(process),
        "user": user.get("uid", int, 0) or None,
        "group": user.get("gid", int, 0) or None,
        "umask": user.get("umask", int, umask),
        **standing.read(process),
    }


def read_options(process: Node) -> Options:
    """Read what is said of one command: its groups beside the first, its terminal."""
    user = process.child("user")
    groups: list[Any] = user.get("additionalGids", list, [])
    for number, group in enumerate(groups):
        if type(group) is not int or not 0 <= group <= MAX_ID:
            raise invalid(f"{user.at('additionalGids')}[{number}]", f"a group's id, not {group!r}")
    size = process.child("consoleSize")
    terminal: Pty = process.get("terminal", bool, False)
    if size.members:
        rows, columns = size.need("height", int), size.need("width", int)
        terminal = (rows, columns) if terminal else False
    with named(size.path):
        return Options(extra_groups=groups or None, terminal=terminal)


def read_exec_affinity(process: Node) -> frozenset[int] | None:
    """Read on which CPUs a command that joins a container runs; its first one does anywhere."""
    node = process.child("execCPUAffinity")
    found: frozenset[int] | None = None
    for member in ("initial", "final"):
        text = node.get(member, str, "").strip()
        if text:
            with named(node.at(member)):
                found = read_affinity(number_list(text.replace(" ", "")))
    return found


def _read_env(process: Node) -> dict[str, str]:
    env = {}
    for number, entry in enumerate(process.texts("env")):
        name, equals, value = entry.partition("=")
        if not name or not equals or "\0" in entry:
            raise invalid(f"{process.at('env')}[{number}]", f"NAME=value, not {entry!r}")
        env[name] = value
    return env


def read_security(process: Node) -> dict[str, Any]:
    """Read the fields of a `Security` that stand here."""
    no_new_privs = process.get("noNewPrivileges", bool, False)
    kept = _read_capabilities(process, no_new_privs=no_new_privs)
    return {
        "ambient": _read_ambient(process.child("capabilities")) & kept,
        "capabilities": kept | _to_change_ids(process, kept, no_new_privs=no_new_privs),
        "no_new_privs": no_new_privs,
        "apparmor": process.get("apparmorProfile", str, "") or None,
        "selinux": process.get("selinuxLabel", str, "") or None,
        "rlimits": _read_rlimits(process),
    }


def _read_capabilities(process: Node, *, no_new_privs: bool) -> Capability:
    """Let the bounding set decide: that is what root's programs get, and nobody else any.

    Where they may not gain any, root's get what is permitted at first.
    """
    sets = process.child("capabilities")
    if process.child("user").get("uid", int, 0) != 0:
        more = _read_set(sets, "inheritable") & ~_read_ambient(sets)
        if more:
            raise unsupported(sets.at("inheritable"), f"{more.name}, which is not ambient")
    kept = _read_set(sets, "bounding")
    return kept & _read_set(sets, "permitted") if no_new_privs and sets.has("permitted") else kept


def _read_ambient(sets: Node) -> Capability:
    """Read what another user than root has: of that, what is inheritable. See capabilities(7)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is said of the bounding set
        return _read_set(sets, "ambient") & _read_set(sets, "inheritable")


def _to_change_ids(process: Node, kept: Capability, *, no_new_privs: bool) -> Capability:
    """Return what changing ids takes beside `kept`: the command of another user has it no more."""
    user, needed = process.child("user"), Capability(0)
    for name, capability in (("uid", Capability.CAP_SETUID), ("gid", Capability.CAP_SETGID)):
        if user.get(name, int, 0) != 0:
            needed |= capability
    missing = needed & ~kept
    if missing and not (no_new_privs and needed & Capability.CAP_SETUID):
        raise unsupported(user.path, f"without noNewPrivileges and a uid it takes {missing.name}")
    return missing


def _read_set(sets: Node, name: str) -> Capability:
    kept = Capability(0)
    for one in sets.texts(name):
        if one in Capability.__members__:
            kept |= Capability[one]
        else:  # config.md: a warning, and no failure
            warnings.warn(f"{sets.at(name)}: no capability {one!r} is known", stacklevel=2)
    return kept & ALL_CAPABILITIES


def _read_rlimits(process: Node) -> dict[str, tuple[int, int]]:
    limits: dict[str, tuple[int, int]] = {}
    for node in process.nodes("rlimits"):
        given = node.need("type", str)
        name = given.removeprefix("RLIMIT_").lower()
        if given != f"RLIMIT_{name.upper()}" or name not in NUMBERS or name in limits:
            raise invalid(node.at("type"), f"a limit of getrlimit(2), once; not {given!r}")
        limits[name] = node.need("soft", int), node.need("hard", int)
        with named(node.path):
            read_limits({name: limits[name]})
    return limits
