"""A command from its start to its end, as `subprocess.run` takes it."""

import subprocess
from typing import Any

from nsbox.pipes import PIPE, Stream, Text
from nsbox.process import Command, Process
from nsbox.usage import CompletedProcess


def complete(
    command: Command,
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
) -> CompletedProcess:
    """Start a command and wait for its end; the parameters are those of `subprocess.run`."""
    if input is not None and stdin is not None:
        raise ValueError("stdin and input arguments may not both be used.")
    if capture_output and (stdout is not None or stderr is not None):
        raise ValueError("stdout and stderr arguments may not be used with capture_output.")
    with Process(
        command,
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
    return CompletedProcess(process.args, process.returncode, output, error, process.usage)
