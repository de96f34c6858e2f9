"""What the tests of live groups share: a group of their own, and commands that wait to be let go."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from nsbox import Cgroup, NsboxError

NAME = f"nsbox-{os.getpid()}-test"


@pytest.fixture
def lab() -> Iterator[Cgroup]:
    """A group with memory, cpu and pids, on whatever hierarchies this host has them."""
    try:
        group = Cgroup.create(NAME, subsystems={"memory", "cpu", "pids"})
    except NsboxError as error:
        pytest.skip(f"needs cgroups to write to: {error}")
    with group:
        yield group


Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a shell that waits for a line before it runs its script: in the meantime it is moved.

    `process.stdin.close()` lets it go. What was started is ended with the test, as a session.
    """
    started: list[subprocess.Popen[bytes]] = []

    def begin(script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["sh", "-c", f"read line; {script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
