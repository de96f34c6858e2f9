"""From a spec to a box: `BoxSpec`, and `run`."""

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Any

import attrs

from nsbox import lower
from nsbox.caller import Caller
from nsbox.cgroup import Resources
from nsbox.frozen import FrozenMap
from nsbox.namespace import ISOLATED, Choice, Choices, IDMap, NamespaceType
from nsbox.namespace.choices import check_choices, choices
from nsbox.namespace.joining import opened
from nsbox.pipes import PIPE, Stream, StrOrBytesPath, Text
from nsbox.plan import Plan, Slot
from nsbox.process import Command, CompletedProcess, Process, arguments
from nsbox.rootfs import RootFS

ENVIRONMENT: FrozenMap[str, str] = FrozenMap(
    {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
    }
)
"""What a command finds in its environment unless told otherwise: nothing of the caller's."""

HOST_NAME_MAX = 64


def _host_name(_: Any, attribute: "attrs.Attribute[str | None]", value: str | None) -> None:
    if value is None:
        return
    if not isinstance(value, str) or "\0" in value or not 0 < len(value.encode()) <= HOST_NAME_MAX:
        raise ValueError(
            f"{attribute.name}: 1 to {HOST_NAME_MAX} bytes without null bytes, not {value!r}"
        )


def _environment(_: Any, attribute: "attrs.Attribute[Any]", value: Mapping[Any, Any]) -> None:
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise ValueError(f"{attribute.name}: maps str to str, not {name!r} to {content!r}")
        if not name or "=" in name or "\0" in name + content:
            raise ValueError(f"{attribute.name}: no such variable can be: {name!r}={content!r}")


def _absolute(_: Any, attribute: "attrs.Attribute[str]", value: Any) -> None:
    if not isinstance(value, str) or not PurePosixPath(value).is_absolute() or "\0" in value:
        raise ValueError(f"{attribute.name}: an absolute path in the box, not {value!r}")


@attrs.frozen(kw_only=True, cache_hash=True)
class BoxSpec:
    """The wish for a box: what it sees, what it may do. A value: making one touches nothing.

    - `hostname`: its host name, up to 64 bytes; its own copy of the starter's if None.
      See sethostname(2).
    - `rootfs`: what it takes for ``/``, if its mnt namespace is new.
    - `namespaces`: of each `NamespaceType`, a new one (`Choice.NEW`), the starter's (`Choice.HOST`,
      or nothing), or one to join: a `Namespace`, or the path of one. See `ISOLATED`. A user
      namespace is added when the starter has no right to do without: a new one, or the one that
      owns what is joined.
    - `id_map`: who is who in a new user namespace.
    - `resources`: its limits, by cgroups made for it.
    - `env`: its whole environment, str to str.
    - `cwd`: the folder, in the box, in which its command starts.
    - `init`: whether a first process of ours stands above the command: it reaps orphans, passes
      signals on, tells the usage and ends the box when the starter dies. Without it, the command
      itself is process 1 of its pid namespace, and lives on when its starter is killed.

    Raises `ValueError`, naming the field, for values that no box can have.
    """

    hostname: str | None = attrs.field(default=None, validator=_host_name)
    rootfs: RootFS = attrs.field(
        default=RootFS.system(), validator=attrs.validators.instance_of(RootFS)
    )
    namespaces: Choices = attrs.field(default=ISOLATED, converter=choices, validator=check_choices)
    id_map: IDMap = attrs.field(default=IDMap(), validator=attrs.validators.instance_of(IDMap))
    resources: Resources = attrs.field(
        default=Resources(), validator=attrs.validators.instance_of(Resources)
    )
    env: FrozenMap[str, str] = attrs.field(
        default=ENVIRONMENT, converter=FrozenMap, validator=_environment
    )
    cwd: str = attrs.field(default="/", converter=os.fspath, validator=_absolute)
    init: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        """Refuse what would change the host, its mounts or its name, and what cannot be had."""
        own_mounts = self.namespaces.get(NamespaceType.MNT) is Choice.NEW
        if not own_mounts and self.rootfs != RootFS.system():
            raise ValueError("rootfs: building one takes a mnt namespace that is Choice.NEW")
        if self.hostname is not None and self.namespaces.get(NamespaceType.UTS) is not Choice.NEW:
            raise ValueError("hostname: naming a box takes a uts namespace that is Choice.NEW")
        if not self.init and (
            self.id_map.has_ranges
            or not all(isinstance(chosen, Choice) for chosen in self.namespaces.values())
        ):
            raise ValueError("init: it is the first process that joins namespaces, so it must be")

    def plan(self, args: StrOrBytesPath | Sequence[StrOrBytesPath] = ()) -> Plan:
        """Return the steps that starting this box would take, for whoever calls this.

        Looks at the host to know them (which folders there are, who asks), changes nothing and
        needs no privilege. Without `args` the plan ends before the command's execve.
        """
        listed = arguments(args) if args else ()
        return lower.plan(self, listed)


def command(spec: BoxSpec, args: StrOrBytesPath | Sequence[StrOrBytesPath]) -> Command:
    """Make what is launched, and refuse at once what can be known to fail."""
    listed = arguments(args)
    lowered = lower.lower(spec)
    lowered.check_sources(spec.hostname)
    plan, groups = lowered.next_box()
    return Command(
        listed,
        tuple(
            f"{name}={value}".encode(errors="surrogateescape") for name, value in spec.env.items()
        ),
        plan,
        lambda index, errno: lowered.failure(index, errno, listed, spec.hostname),
        lowered.end_signal,
        groups,
        lambda: _opened(spec) if lowered.joins else contextlib.nullcontext({}),
    )


def _opened(spec: BoxSpec) -> AbstractContextManager[Mapping[Slot, int]]:
    return opened(spec.namespaces, spec.id_map, Caller.current())


def run(
    args: StrOrBytesPath | Sequence[StrOrBytesPath],
    spec: BoxSpec | None = None,
    *,
    stdin: Stream = None,
    input: Any = None,  # noqa: A002
    stdout: Stream = None,
    stderr: Stream = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> CompletedProcess:
    """Run a command in a box of its own and wait for its end, as `subprocess.run` does.

    The parameters are those of `subprocess.run`; `spec` says what the box is like (a `BoxSpec()` if
    None), `env` and `cwd` take the place of the spec's. When the command ends, or `timeout`
    (seconds) is over, the box ends, with all that was started in it.

    Raises `StepError` where a step failed, the command's own exec included: it is also a
    `FileNotFoundError`, `PermissionError` or whatever its errno stands for. Raises
    `subprocess.TimeoutExpired` and, under `check`, `subprocess.CalledProcessError`.
    """
    if input is not None and stdin is not None:
        raise ValueError("stdin and input arguments may not both be used.")
    if capture_output and (stdout is not None or stderr is not None):
        raise ValueError("stdout and stderr arguments may not be used with capture_output.")
    changes: dict[str, Any] = {"env": env, "cwd": cwd}
    changes = {name: value for name, value in changes.items() if value is not None}
    spec = spec or _DEFAULT
    with Process(
        command(attrs.evolve(spec, **changes) if changes else spec, args),
        stdin=PIPE if input is not None else stdin,
        stdout=PIPE if capture_output else stdout,
        stderr=PIPE if capture_output else stderr,
        text=Text(encoding, errors) if text or encoding or errors else None,
        tell_of_exec=False,
    ) as process:
        try:
            output, error = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert process.returncode is not None
    assert process.usage is not None
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output, error)
    return CompletedProcess(args, process.returncode, output, error, process.usage)


_DEFAULT = BoxSpec()
