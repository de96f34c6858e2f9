"""A terminal of the box's own, used by hand and by pexpect."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pexpect
import pexpect.fdpexpect
import pytest

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, RootFS

OWN_USER = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}


@pytest.fixture(params=["nsbox", "box", "user"])
def popen(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "nsbox":
        yield nsbox.popen
        return
    spec = BoxSpec(namespaces=OWN_USER if request.param == "user" else nsbox.ISOLATED)
    with spec.start() as box:
        yield box.popen


def read(process: Any, until: bytes, seconds: float = 60) -> bytes:
    found = b""
    deadline = time.monotonic() + seconds
    while until not in found and time.monotonic() < deadline:
        if select.select([process.terminal], [], [], 0.2)[0]:
            found += process.terminal.read(1024)
    assert until in found
    return found


def test_the_streams_are_a_terminal_of_the_box(popen: Any) -> None:
    script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; ls /dev/pts; ps -o tty= -p $$"
    with popen(["sh", "-c", script], pty=True) as process:
        shown = process.terminal.read()
        assert process.wait() == 0
    assert b"/dev/pts/0" in shown
    assert b"all\r\n" in shown


def test_its_size_is_there_from_the_first_moment(popen: Any) -> None:
    with popen(["stty", "size"], pty=(33, 101)) as process:
        assert process.terminal.read() == b"33 101\r\n"
    with popen(["stty", "size"], pty=os.terminal_size((101, 33))) as process:
        assert process.terminal.read() == b"33 101\r\n"
    with popen(["stty", "size"], pty=True) as process:
        assert process.terminal.read() == b"0 0\r\n"


def test_a_new_size_is_told_to_the_command(popen: Any) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done"
    with popen(["sh", "-c", script], pty=(24, 80)) as process:
        read(process, b"ready")
        process.terminal.resize(50, 132)
        read(process, b"50 132")
        assert process.wait(timeout=60) == 0


def test_control_c_is_an_interrupt_for_the_foreground(popen: Any) -> None:
    with popen(["sh", "-c", "echo ready; exec sleep 1000"], pty=True) as process:
        read(process, b"ready")
        process.terminal.write(b"\x03")
        assert process.wait(timeout=60) == -signal.SIGINT


def test_closing_it_hangs_up(popen: Any) -> None:
    with popen(["sh", "-c", "echo ready; exec sleep 1000"], pty=True) as process:
        read(process, b"ready")
        process.terminal.close()
        assert process.wait(timeout=60) == -signal.SIGHUP


def test_an_end_without_a_word_is_an_empty_read(popen: Any) -> None:
    with popen(["true"], pty=True) as process:
        assert process.wait(timeout=60) == 0
        assert process.terminal.read(10) == b""
        assert process.terminal.read() == b""
        assert process.terminal.isatty()


def test_it_is_not_the_callers_terminal(popen: Any) -> None:
    """A command could push input into the terminal that its session has: not into ours."""
    script = (
        "import fcntl, termios\n"
        "for char in b'id\\n': fcntl.ioctl(0, termios.TIOCSTI, bytes([char]))\n"
    )
    ours, theirs = os.openpty()
    try:
        if not os.path.exists("/usr/bin/python3"):
            pytest.skip("needs /usr/bin/python3")
        with popen(["/usr/bin/python3", "-c", script], stdin=theirs, stderr=nsbox.DEVNULL) as one:
            assert one.wait(timeout=60) == 1
        assert select.select([theirs], [], [], 0)[0] == []
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    "wrong", [(1,), (1, 2, 3), (-1, 80), (24, 1 << 16), ("24", 80), "24x80", 3]
)
def test_nonsense_is_no_size(popen: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match="pty"):
        popen(["true"], pty=wrong)


def spawn(process: Any) -> Any:
    return pexpect.fdpexpect.fdspawn(process.terminal.fileno(), timeout=60, encoding="utf-8")


def test_a_shell_is_driven_by_pexpect(popen: Any) -> None:
    env = {"PS1": "box> ", "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    with popen(["sh", "-i"], env=env, pty=(24, 80)) as process:
        shell = spawn(process)
        shell.expect_exact("box> ")
        shell.sendline("stty -echo; echo started")
        shell.expect_exact("started\r\n")
        shell.sendline("stty size")
        shell.expect_exact("24 80\r\n")
        process.terminal.resize(40, 120)
        shell.sendline("stty size")
        shell.expect_exact("40 120\r\n")
        shell.sendline("exit 7")
        shell.expect(pexpect.EOF)
        assert process.wait(timeout=60) == 7


def test_a_python_prompt_is_driven_by_pexpect() -> None:
    spec = BoxSpec(rootfs=RootFS.system(python=True), hostname="prompt")
    env = {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"}
    with spec.start() as box, box.popen([sys.executable, "-q"], env=env, pty=(24, 80)) as process:
        prompt = spawn(process)
        prompt.expect_exact(">>> ")
        prompt.sendline("import socket; 6 * 7, socket.gethostname()")
        prompt.expect_exact("(42, 'prompt')")
        prompt.expect_exact(">>> ")
        prompt.sendline("import os; os.get_terminal_size()")
        prompt.expect_exact("columns=80, lines=24")
        prompt.sendline("while True: pass\n")
        time.sleep(0.3)
        prompt.sendcontrol("c") if hasattr(prompt, "sendcontrol") else process.terminal.write(
            b"\x03"
        )
        prompt.expect_exact("KeyboardInterrupt")
        prompt.expect_exact(">>> ")
        prompt.sendline("exit(3)")
        with contextlib.suppress(pexpect.EOF):
            prompt.expect(pexpect.EOF)
        assert process.wait(timeout=60) == 3
