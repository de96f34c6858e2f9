"""A command in a box of its own, from its start to its end."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nsbox import commands
from nsbox.complete import complete
from nsbox.pipes import Stream, StrOrBytesPath
from nsbox.spec import BoxSpec
from nsbox.usage import CompletedProcess

_DEFAULT = BoxSpec()


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
    return complete(
        commands.starting(spec or _DEFAULT, args, env, cwd, commands.next_number()),
        stdin=stdin,
        input=input,
        stdout=stdout,
        stderr=stderr,
        capture_output=capture_output,
        timeout=timeout,
        check=check,
        encoding=encoding,
        errors=errors,
        text=text,
    )
