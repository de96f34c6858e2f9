"""The parameters of `subprocess` that every way to start a command takes, once and typed."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from nsbox.commands import Args, Invocation
from nsbox.options import Options, Pty
from nsbox.pipes import Stream


class PopenParameters(TypedDict, total=False):
    """Those of `subprocess.Popen`; `env` and `cwd` take the place of the spec's."""

    stdin: Stream
    stdout: Stream
    stderr: Stream
    encoding: str | None
    errors: str | None
    text: bool | None
    env: Mapping[str, str] | None
    cwd: str | os.PathLike[str] | None
    user: int | str | None
    group: int | str | None
    extra_groups: Iterable[int | str] | None
    umask: int | None
    pass_fds: Iterable[int]


class RunParameters(PopenParameters, total=False):
    """Those of `subprocess.run`; and `output_max`, see `nsbox.run`."""

    input: Any
    capture_output: bool
    timeout: float | None
    check: bool
    output_max: int | str | None


_OPTIONS = frozenset(("cwd", "user", "group", "extra_groups", "umask", "pass_fds"))


def invoke(
    args: Args, parameters: Mapping[str, Any], *, terminal: Pty = False
) -> tuple[Invocation, dict[str, Any]]:
    """Split parameters: what is run and how, and the rest, about streams and waiting."""
    rest = dict(parameters)
    env = rest.pop("env", None)
    if not terminal and _OPTIONS.isdisjoint(rest):
        return Invocation(args, env), rest
    options = {name: rest.pop(name) for name in _OPTIONS if name in rest}
    return Invocation(args, env, Options(**options, terminal=terminal)), rest


def check_names(function: str, parameters: Mapping[str, Any], known: type) -> None:
    """Refuse what is no parameter, as a signature would."""
    for name in parameters:
        if name not in known.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
