"""A command started, or taken from its start to its end, with `subprocess`'s parameters."""

import subprocess
from typing import Any

from nsbox.launch import Command, Parked
from nsbox.pipes import PIPE, Stream, Text
from nsbox.process import Process
from nsbox.sizes import size_in_bytes
from nsbox.straight import straight, straight_in
from nsbox.usage import CompletedProcess


def complete(
    command: Command,
    args: Any,
    parked: Parked | None = None,
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
    output_max: int | str | None = None,
) -> CompletedProcess:
    """Start a command and wait for its end; the parameters are those of `subprocess.run`.

    `args` are its arguments as they were given, `parked` is a box made ahead for it. With
    `output_max`, more bytes than that end it, with `OutputExceeded`.
    """
    if (
        stdin is input is stdout is stderr is encoding is errors is output_max is timeout is None  # type: ignore[comparison-overlap]
        and not (capture_output or text)
        and command.is_straight
    ):
        return left_alone(command, args, parked, check=check)
    most = bytes_at_most(output_max)
    if input is not None or capture_output:
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        with_pipes(streams, has_input=input is not None, capture_output=capture_output)
        stdin, stdout, stderr = streams.values()
    with Process(
        command,
        args,
        parked,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=Text(encoding, errors) if text or encoding or errors else None,
        wait_exec=False,
    ) as running:
        output, error = running.communicate(input, timeout, output_max=most)
    assert running.returncode is not None
    assert running.usage is not None
    if check and running.returncode:
        raise subprocess.CalledProcessError(running.returncode, args, output, error)
    return CompletedProcess(args, running.returncode, output, error, running.usage)


def left_alone(
    command: Command, args: Any, parked: Parked | None = None, *, check: bool
) -> CompletedProcess:
    """Take it from its start to its end, where nothing is asked about its streams and its time."""
    while command.is_straight:
        if parked is None:
            done = straight(command, args, check)
        else:
            done = straight_in(parked, command, args, check)
        if done is not None:
            return done
        assert command.anew is not None
        command, parked = command.anew(), None
    return complete(command, args, parked, check=check)


def bytes_at_most(output_max: int | str | None) -> int | None:
    """Read ``"64M"`` and the like. Raises `ValueError`."""
    return None if output_max is None else size_in_bytes(output_max, "output_max")


def with_pipes(streams: dict[str, Any], *, has_input: bool, capture_output: bool) -> dict[str, Any]:
    """Add the pipes that are asked for; contradictions are refused in `subprocess`'s words."""
    if has_input:
        if streams.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        streams["stdin"] = PIPE
    if capture_output:
        if streams.get("stdout") is not None or streams.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        streams["stdout"] = streams["stderr"] = PIPE
    return streams


def process(
    command: Command,
    args: Any,
    parked: Parked | None = None,
    *,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
) -> Process:
    """Start a command; the parameters are those of `subprocess.Popen`."""
    return Process(
        command,
        args,
        parked,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=Text(encoding, errors) if text or encoding or errors else None,
    )
