"""A box types nothing into its caller's terminal, and gives out none but its own."""

import os
import pty
import select
import sys
import time

import pytest

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, Security

TYPIST = r"""
import fcntl, os
typed = "nothing"
try:
    for byte in b"echo typed by the box\n":
        fcntl.ioctl(0, 0x5412, bytes([byte]))  # TIOCSTI
    typed = "all"
except OSError:
    pass
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    typed += " and has a terminal"
except OSError:
    pass
print("typed", typed, flush=True)
"""

CALLER = """
import os, sys, nsbox
from nsbox import BoxSpec, Security
security = Security(seccomp=None) if sys.argv[2] == "session" else Security()
nsbox.run(["/usr/bin/python3", "-c", sys.argv[1]], BoxSpec(security=security))
os.close(os.open("/dev/tty", os.O_RDWR))
print("the caller has one", flush=True)
"""


@pytest.mark.parametrize("by", ["session", "filter"])
def test_a_box_types_nothing_into_the_callers_terminal(by: str) -> None:
    """With the caller's terminal as its input; kept off by its session alone, without a filter."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", CALLER, TYPIST, by])
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline and select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the last one has closed it
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"typed nothing\r\n" in shown
    assert b"the caller has one\r\n" in shown
    assert b"echo typed" not in shown


REPLACED = {
    "file": "echo > /tmp/pts/ptmx",
    "fifo": "mkfifo /tmp/pts/ptmx",
    "link to the own one": "ln -s /tmp/own/ptmx /tmp/pts/ptmx",
    "link to a descriptor": "ln -s /proc/self/fd/0 /tmp/pts/ptmx",
    "null": "touch /tmp/pts/ptmx; mount --bind /dev/null /tmp/pts/ptmx",
    "tty": "touch /tmp/pts/ptmx; mount --bind /dev/tty /tmp/pts/ptmx",
}


@pytest.mark.parametrize("replace", REPLACED.values(), ids=REPLACED.keys())
def test_a_terminal_that_was_replaced_is_refused(replace: str) -> None:
    spec = BoxSpec(
        security=Security.privileged(),
        namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW},
    )
    script = (
        "set -e; mkdir /tmp/pts /tmp/own; mount --bind /dev/pts /tmp/own; "
        f"{replace}; mount --rbind /tmp/pts /dev/pts"
    )
    with spec.start() as box:
        assert box.run(["sh", "-c", script]).returncode == 0
        with pytest.raises(nsbox.StepError) as caught:
            box.popen(["true"], pty=True)
        assert caught.value.step.name == "ioctl"
        assert box.run(["true"]).returncode == 0
