"""Whether a box can be joined, as its plan asks before anything is done."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from nsbox._native.operations import Operation
from nsbox.errors import StepError
from nsbox.perform import perform
from nsbox.plan import Slot, Step

ALIVE = Step(Operation.ALIVE, (Slot.BOX, "first process"))


def alive(pidfd):
    perform((ALIVE,), {Slot.BOX: pidfd})


def test_a_process_is_alive_until_it_has_ended_waited_for_or_not():
    command = [sys.executable, "-c", "input()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pidfd = os.pidfd_open(process.pid)
    try:
        alive(pidfd)
        process.send_signal(signal.SIGSTOP)
        alive(pidfd)
        process.kill()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        for _ in range(2):
            with pytest.raises(ProcessLookupError, match="the box has ended") as told:
                alive(pidfd)
            assert isinstance(told.value, StepError)
            process.wait()
    finally:
        process.kill()
        process.communicate()
        os.close(pidfd)


def test_signals_of_the_callers_are_no_answer():
    rung = 0

    def ring(*_):
        nonlocal rung
        rung += 1

    before = signal.signal(signal.SIGALRM, ring)
    pidfd = os.pidfd_open(os.getpid())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        for _ in range(10**5):
            alive(pidfd)
            if rung > 200:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(pidfd)
    assert rung > 200


@pytest.mark.parametrize(
    ("text", "line", "thawed"),
    [
        ("populated 1\nfrozen 0\n", "frozen 1", True),
        ("populated 1\nfrozen 1\n", "frozen 1", False),
        ("frozen 1\npopulated 1\n", "frozen 1", False),
        ("populated 1\n", "frozen 1", True),
        ("THAWED\n", "FR", True),
        ("FREEZING\n", "FR", False),
        ("FROZEN\n", "FR", False),
        ("FROZE", "FROZEN", True),
        ("", "FROZEN", True),
        ("x" * 5000 + "FROZEN", "FROZEN", True),  # no such file is as long
    ],
)
def test_a_group_is_frozen_where_its_file_says_so(tmp_path, text, line, thawed):
    path = tmp_path / "told"
    path.write_text(text)
    step = Step(Operation.THAWED, (str(path), line))
    before = len(os.listdir("/proc/self/fd"))
    if thawed:
        perform((step,))
    else:
        with pytest.raises(BlockingIOError, match="the box is frozen") as told:
            perform((step,))
        assert told.value.errno == errno.EAGAIN
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["missing", ".", "missing/file"])
def test_a_group_that_says_nothing_is_not_frozen(tmp_path, name):
    perform((Step(Operation.THAWED, (f"{tmp_path}/{name}", "FROZEN")),))
