"""A command in a box of its own."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from nsbox import commands
from nsbox.commands import Invocation
from nsbox.complete import complete, left_alone, process
from nsbox.options import Pty, options
from nsbox.parameters import PopenParameters, check_names, invoke
from nsbox.pipes import Stream, StrOrBytesPath
from nsbox.process import Process
from nsbox.spec import BoxSpec
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

_DEFAULT = BoxSpec()


def run(
    args: StrOrBytesPath | Sequence[StrOrBytesPath] | None = None,
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
    user: int | str | None = None,
    group: int | str | None = None,
    extra_groups: Iterable[int | str] | None = None,
    umask: int | None = None,
    pass_fds: Iterable[int] = (),
    output_max: int | str | None = None,
    cgroup: "Cgroup | None" = None,
) -> CompletedProcess:
    """Run a command in a box of its own and wait for its end, as `subprocess.run` does.

    The parameters are those of `subprocess.run`; `spec` says what the box is like (a `BoxSpec()` if
    None); `args`, `env`, `cwd`, `user`, `group` and `umask` take the place of the spec's. When the
    command ends, or `timeout` (seconds) is over, the box ends, with all that was started in it. So
    it does where more than `output_max` (bytes, or ``"64M"``) come from both pipes together, which
    is an `OutputExceeded`. The box begins in the group `cgroup`, where one is given; with limits of
    its own, below.

    Raises `StepError` where a step failed, the command's own exec included: it is also a
    `FileNotFoundError`, `PermissionError` or whatever its errno stands for. Raises
    `subprocess.TimeoutExpired` and, under `check`, `subprocess.CalledProcessError`.
    """
    spec = spec or _DEFAULT
    if (
        stdin is input is stdout is stderr is encoding is errors is text is output_max is None  # type: ignore[comparison-overlap]
        and timeout is env is cwd is user is group is extra_groups is umask is cgroup is None  # type: ignore[comparison-overlap]
        and not (capture_output or pass_fds)
    ):
        command = commands.known(spec, args)
        if command is not None:
            return left_alone(command, args, check=check)
    invocation = Invocation(
        spec.args if args is None else args,
        env,
        options(
            cwd=cwd,
            user=user,
            group=group,
            extra_groups=extra_groups,
            umask=umask,
            pass_fds=pass_fds,
        ),
    )
    return complete(
        commands.starting(spec, invocation, cgroup),
        invocation.args,
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
        output_max=output_max,
    )


def popen(
    args: StrOrBytesPath | Sequence[StrOrBytesPath] | None = None,
    spec: BoxSpec | None = None,
    *,
    pty: Pty = False,
    cgroup: "Cgroup | None" = None,
    **parameters: Unpack[PopenParameters],
) -> Process:
    """Start a command in a box of its own, and return it as soon as its program runs.

    The parameters are those of `subprocess.Popen`; `spec` and `cgroup` are as for `run`, and the
    box ends with its command. With `pty` its streams are a terminal of the box's own, and
    `Process.terminal` is the caller's side: True, or the size of it, ``(rows, columns)``.

    Raises `StepError` where a step failed, the command's own exec included.
    """
    check_names("popen", parameters, PopenParameters)
    spec = spec or _DEFAULT
    given = spec.args if args is None else args
    invocation, rest = invoke(given, parameters, terminal=pty)
    return process(commands.starting(spec, invocation, cgroup), given, **rest)
