"""What a command came to: its result, and what it cost."""

import subprocess
from typing import Any

import attrs

from nsbox._native.values import Told
from nsbox.display import Displayed


@attrs.frozen
class Usage(Displayed):
    """What a command cost, with all that it started.

    `wall_seconds` run from the launch to the end, setting up the box included; of one that was made
    ahead, from its command. CPU time and `memory_peak` (bytes, the largest resident set of any one
    process) are those of getrusage(2), RUSAGE_CHILDREN, as the box's first process saw them;
    `memory_peak` is None where it could not tell, because it was killed or left out
    (``init=False``). A box with a memory group of its own tells the group's peak instead, file
    caches included: memory.peak in cgroup-v2.rst. `oom_killed` is whether the kernel ended a task
    in its groups for want of memory.
    """

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    memory_peak: int | None
    oom_killed: bool = False

    @property
    def cpu_seconds(self) -> float:
        """User and system time together, in seconds."""
        return self.user_seconds + self.system_seconds


def usage_of(told: Told) -> Usage:
    """Read it from what a box has come to."""
    peak = told.peak_bytes if told.group_peak_bytes < 0 else told.group_peak_bytes
    return Usage(
        told.wall_us / 1e6,
        told.user_us / 1e6,
        told.system_us / 1e6,
        None if peak < 0 else peak,
        told.killed == 1,
    )


class CompletedProcess(Displayed, subprocess.CompletedProcess[Any]):
    """A `subprocess.CompletedProcess` that also tells its `usage`.

    Within the library that is given as a launch's figures, for `Told.of`.
    """

    def __init__(
        self, args: Any, returncode: int, stdout: Any, stderr: Any, usage: Usage | bytearray
    ) -> None:
        self.args = args  # as that of `subprocess`, sooner
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self._usage = usage

    @property
    def usage(self) -> Usage:
        """What it cost. Few ask, so it is read when they do."""
        usage = self._usage
        if isinstance(usage, bytearray):
            self._usage = usage = usage_of(Told.of(usage))
        return usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        self._usage = usage

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, usage={self.usage!r})"
