"""Hooks in the namespaces of a container: each a command that joins it, with all rights there."""

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from nsbox import pipes, procfs
from nsbox.oci import hooks, launch
from nsbox.oci.config import Description
from nsbox.process import Process


def run(
    said: Description,
    wanted: Iterable[hooks.Hook],
    moment: str,
    state: dict[str, Any],
    *,
    first_process: int,
    folders: launch.Folders,
) -> None:
    """Run hooks in their order, each with the state on its standard input.

    The pid in it is the one that they see. Raises `HookError` for the first that fails.
    """
    state = state | {"pid": _inner(state["pid"])}
    for hook in wanted:
        freed = launch.free(said, hook)
        _, joining = launch.joining(freed, first_process, folders, program=hook.path)
        try:
            with Process(
                joining, freed.args, stdin=pipes.PIPE, stdout=pipes.PIPE, stderr=pipes.STDOUT
            ) as one:
                output, _ = one.communicate(json.dumps(state).encode(), hook.timeout)
                hooks.check(moment, hook, one.wait(), output)
        except subprocess.TimeoutExpired:
            raise hooks.failed(moment, hook, f"not done within {hook.timeout} s") from None
        except OSError as error:
            raise hooks.failed(moment, hook, str(error)) from error


def _inner(pid: int) -> int:
    """Return a process's id in its own pid namespace."""
    with open(f"/proc/{pid}/status", "rb") as file:
        status = procfs.Status.of(procfs.parse_status(procfs.decode(file.read())))
    return status.nspid[-1] if status.nspid else pid
