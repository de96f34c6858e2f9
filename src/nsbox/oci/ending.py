"""A container's process, found again, told and ended."""

import contextlib
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nsbox import procfs
from nsbox.cgroup.cgroup import Cgroup
from nsbox.errors import UnsupportedError
from nsbox.oci import hooks
from nsbox.oci.state import Record
from nsbox.task import Task


def signal_number(sig: int | str) -> int:
    """Read a signal: a number, or a name with or without SIG. Raises `ValueError`."""
    if isinstance(sig, str) and not sig.isdecimal():
        name = sig.upper().removeprefix("SIG")
        if f"SIG{name}" not in signal.Signals.__members__:
            raise ValueError(f"sig: no signal is named {sig!r}")
        return signal.Signals[f"SIG{name}"]
    return int(sig)


def starttime(pid: int) -> int:
    """Return what names a process for good, beside its pid. See proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return procfs.parse_stat(procfs.decode(file.read())).starttime


def task(record: Record) -> Task | None:
    """Take hold of the process, if it is still that."""
    try:
        found = Task(record.pid)
        if starttime(record.pid) == record.starttime:
            return found
    except (ProcessLookupError, FileNotFoundError, ValueError, UnsupportedError):
        return None  # the last: its number is a thread's by now, and the kernel is an older one
    found.close()
    return None


def signal_all(group: Cgroup, number: int, *, but: int) -> None:
    """Send a signal to all in a group and in those below it, `but` one."""
    for pid in {pid for one in group.walk() for pid in one.pids} - {but}:
        with contextlib.suppress(ProcessLookupError), Task(pid) as found:
            found.signal(number)


def end(process: Task, thaw: Callable[[], None]) -> None:
    """Kill it, wait for its end, and reap it where it is the caller's child."""
    if process.alive:
        with contextlib.suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
        thaw()
        process.wait()
    with contextlib.suppress(ChildProcessError, ValueError):
        os.waitid(os.P_PIDFD, process.fileno(), os.WEXITED | os.WNOHANG)


def after(poststop: Iterable[hooks.Hook], state: Mapping[str, Any]) -> None:
    """Run the hooks of a container that is no more; one that fails is a warning."""
    for hook in poststop:
        try:
            hooks.run([hook], "poststop", state)
        except hooks.HookError as error:
            warnings.warn(str(error), stacklevel=5)
