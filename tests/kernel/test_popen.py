"""`nsbox.popen` and `Box.popen` behave as `subprocess.Popen` does: each claim is made of all."""

import io
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec

PIPE = subprocess.PIPE
ECHO = ["sh", "-c", "cat; echo err >&2"]


@pytest.fixture(params=["subprocess", "nsbox", "box"])
def popen(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "box":
        with BoxSpec().start() as box:
            yield box.popen
    else:
        yield subprocess.Popen if request.param == "subprocess" else nsbox.popen


def test_poll_is_none_while_it_runs(popen: Any) -> None:
    with popen(["sh", "-c", "read line; exit 7"], stdin=PIPE) as process:
        assert process.poll() is None
        assert process.returncode is None
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(timeout=60) == 7
        assert (process.poll(), process.returncode) == (7, 7)


@pytest.mark.parametrize("init", [True, False])
def test_it_returns_as_the_program_runs_with_a_first_process_or_without(init: bool) -> None:
    with nsbox.popen(["cat"], BoxSpec(init=init), stdin=PIPE, stdout=PIPE) as process:
        assert process.poll() is None  # it would have waited for the end of its input
        assert process.communicate(b"in", timeout=60) == (b"in", None)
    with pytest.raises(FileNotFoundError):
        nsbox.popen(["no-such-command"], BoxSpec(init=init))


def test_wait_raises_after_its_timeout_and_can_be_asked_again(popen: Any) -> None:
    with popen(["sh", "-c", "read line; exit 3"], stdin=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            process.wait(timeout=0.05)
        assert caught.value.timeout == 0.05
        assert caught.value.cmd == process.args
        process.stdin.close()
        assert process.wait() == 3


def test_communicate_gives_both_outputs(popen: Any) -> None:
    with popen(ECHO, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(b"in") == (b"in", b"err\n")
        assert process.returncode == 0


def test_communicate_moves_more_than_a_pipe_holds(popen: Any) -> None:
    data = os.urandom(3_000_000)
    with popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
        assert process.communicate(data)[0] == data


def test_communicate_loses_nothing_by_a_timeout(popen: Any) -> None:
    with popen(["sh", "-c", "echo one; exec sleep 100"], stdout=PIPE) as process:
        told = None
        while not told:  # it may take longer to come to its words
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                process.communicate(timeout=0.2)
            told = caught.value.stdout
        process.kill()
        assert process.communicate()[0].startswith(b"one\n")


def test_text_has_its_encoding_and_universal_newlines(popen: Any) -> None:
    command = ["printf", r"\351\r\nend\r"]
    with popen(command, stdout=PIPE, text=True, encoding="latin-1") as process:
        assert isinstance(process.stdout, io.TextIOWrapper)
        assert process.communicate()[0] == "é\nend\n"
    with popen(["printf", r"\377"], stdout=PIPE, encoding="utf-8", errors="replace") as process:
        assert process.stdout.read() == "\ufffd"


def test_lines_can_be_exchanged_one_by_one(popen: Any) -> None:
    script = 'while read line; do echo "got $line"; done'
    with popen(["sh", "-c", script], stdin=PIPE, stdout=PIPE, text=True) as process:
        for word in ("a", "b"):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"got {word}\n"
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "HUP", "USR1"])
def test_a_signal_is_a_negative_return_code(popen: Any, name: str) -> None:
    with popen(["sleep", "100"]) as process:
        time.sleep(0.05)
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.wait(timeout=60) == -getattr(signal, f"SIG{name}")


def state(process: Any) -> str:
    """The state of the command, or of the only child of what stands above it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    pid = children[0] if children else process.pid
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_command_can_be_stopped_and_go_on(popen: Any) -> None:
    with popen(["sh", "-c", "read line; exit 3"], stdin=PIPE) as process:
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while state(process) != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert state(process) == "T"
        process.stdin.close()  # what it waited for
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=60) == 3


def test_terminate_and_kill_do_nothing_at_the_end(popen: Any) -> None:
    with popen(["true"]) as process:
        assert process.wait() == 0
        process.terminate()
        process.kill()
        process.send_signal(signal.SIGUSR1)
        assert process.returncode == 0


def test_a_handler_in_the_command_gets_the_signal(popen: Any) -> None:
    script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.02; done"
    with popen(["sh", "-c", script], stdout=PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(timeout=60) == 4
        assert process.stdout.read() == "bye\n"


def test_a_command_that_is_not_there_is_a_file_not_found_error(popen: Any) -> None:
    with pytest.raises(FileNotFoundError):
        popen(["no-such-command"])
    with pytest.raises(PermissionError):
        popen(["/etc/passwd"])
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        popen(["true"], cwd="/no/such/folder")


def test_environment_folder_and_umask_are_given(popen: Any) -> None:
    script = ["/bin/sh", "-c", "echo $A; pwd; umask"]
    with popen(script, env={"A": "b", "PATH": "/bin"}, cwd="/usr", umask=0o27, stdout=PIPE) as p:
        assert p.communicate()[0].split() == [b"b", b"/usr", b"0027"]


def test_descriptors_are_passed_under_their_numbers(popen: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("passed")
    with open(tmp_path / "file", "rb") as file:
        fd = file.fileno()
        with popen(["cat", f"/proc/self/fd/{fd}"], pass_fds=(fd,), stdout=PIPE) as process:
            assert process.communicate()[0] == b"passed"
    with popen(["ls", "/proc/self/fd"], stdout=PIPE) as process:
        assert process.communicate()[0].split() == [b"0", b"1", b"2", b"3"]


def test_files_serve_as_streams(popen: Any, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"in")
    with (
        open(tmp_path / "in", "rb") as source,
        open(tmp_path / "out", "wb") as sink,
        popen(ECHO, stdin=source, stdout=sink, stderr=subprocess.STDOUT) as process,
    ):
        assert process.wait() == 0
    assert (tmp_path / "out").read_bytes() == b"inerr\n"
    with popen(["cat"], stdin=subprocess.DEVNULL, stdout=PIPE) as process:
        assert process.communicate() == (b"", None)


def test_several_threads_can_wait(popen: Any) -> None:
    codes: list[int] = []
    with popen(["sh", "-c", "read line; exit 5"], stdin=PIPE) as process:
        threads = [threading.Thread(target=lambda: codes.append(process.wait())) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        process.stdin.close()
        for thread in threads:
            thread.join()
    assert codes == [5] * 4


def test_pipes_work_with_selectors(popen: Any) -> None:
    with popen(["sh", "-c", "sleep 0.1; echo x"], stdout=PIPE) as process:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(timeout=60)
        assert process.stdout.read() == b"x\n"


def test_input_that_nobody_reads_is_no_error(popen: Any) -> None:
    with popen(["true"], stdin=PIPE, stdout=PIPE) as process:
        assert process.communicate(b"x" * 1_000_000) == (b"", None)


@pytest.mark.parametrize("make", [nsbox.popen, None], ids=["nsbox", "box"])
def test_close_from_another_thread_ends_a_wait(make: Any) -> None:
    """What subprocess has not: `close` ends the command, and whoever waits is told."""
    codes: list[int] = []
    with BoxSpec().start() as box:
        process = (make or box.popen)(["sleep", "1000"])
        thread = threading.Thread(target=lambda: codes.append(process.wait()))
        thread.start()
        time.sleep(0.1)
        process.close()
        thread.join(timeout=60)
        process.close()
    assert codes == [-9] or codes[0] < 0
