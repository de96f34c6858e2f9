"""System calls handed to a function of the caller's."""

import errno
import os
import sys
import threading

import pytest

import nsbox
from nsbox import BoxSpec, Rule, Seccomp, Security
from nsbox.security import Call

MKDIR = ("mkdir", "mkdirat")


def spec(handler, *names) -> BoxSpec:
    seccomp = Seccomp.standard().notify(*(names or MKDIR), handler=handler)
    return BoxSpec(security=Security(seccomp=seccomp))


def sh(script: str, box: BoxSpec) -> "nsbox.CompletedProcess":
    return nsbox.run(["sh", "-c", script], box, capture_output=True, text=True, timeout=60)


def test_a_handler_is_asked_and_the_kernel_goes_on() -> None:
    asked: list[Call] = []

    def look(call: Call) -> None:
        asked.append(call)
        assert os.readlink(f"/proc/{call.pid}/exe").endswith("mkdir")

    done = sh("mkdir /tmp/a && mkdir /tmp/a/b && ls -d /tmp/a/b", spec(look))
    assert done.stdout == "/tmp/a/b\n", done.stderr
    assert [call.name in MKDIR for call in asked] == [True, True]
    assert all(len(call.arguments) == 6 for call in asked)


def test_an_errno_that_it_raises_is_what_the_call_fails_with() -> None:
    def refuse(call: Call) -> None:
        raise OSError(errno.EXDEV, "not here")

    done = sh("mkdir /tmp/a; ls /tmp", spec(refuse))
    assert "cross-device" in done.stderr
    assert done.stdout == ""


def test_a_number_that_it_returns_is_what_the_call_returns() -> None:
    program = "import os; print(os.getppid(), os.path.exists('/tmp/x'), os.mkdir('/tmp/x'), os.path.exists('/tmp/x'))"
    box = spec(lambda call: 4321 if call.name == "getppid" else 0, *MKDIR, "getppid")
    done = nsbox.run(["/usr/bin/python3", "-c", program], box, capture_output=True, text=True)
    assert done.stdout.split() == ["4321", "False", "None", "False"]


def test_the_exec_itself_can_be_asked_about() -> None:
    asked: list[str] = []
    box = spec(lambda call: asked.append(call.name), "execve")
    assert sh("true; /bin/true", box).returncode == 0
    assert len(asked) >= 2
    assert set(asked) == {"execve"}

    def refuse(_: Call) -> None:
        raise OSError(errno.EACCES, "")

    with pytest.raises(PermissionError) as caught:
        sh("true", spec(refuse, "execve"))
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "execve"


def test_what_else_it_raises_is_told_and_the_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: told.append(it.exc_value))

    def break_down(_: Call) -> None:
        raise RuntimeError("broken")

    done = sh("mkdir /tmp/a", spec(break_down))
    assert "Operation not permitted" in done.stderr
    assert [str(one) for one in told] == ["broken"]


def test_each_command_of_a_box_is_asked_about_and_descriptors_are_passed() -> None:
    threads = set()
    box = spec(lambda _: threads.add(threading.get_ident()))
    reading, writing = os.pipe()
    wanted = 21  # where the way to the handler stands meanwhile
    os.dup2(writing, wanted)
    try:
        with box.start() as started:
            for number in range(3):
                program = f"import os; os.mkdir('/tmp/{number}'); os.write({wanted}, b'{number}')"
                command = ["/usr/bin/python3", "-c", program]
                assert started.run(command, pass_fds=[wanted]).returncode == 0
        assert os.read(reading, 100) == b"012"
        assert len(threads) >= 1
        assert threading.get_ident() not in threads
    finally:
        for fd in (reading, writing, wanted):
            os.close(fd)


def test_a_start_that_fails_leaves_no_thread() -> None:
    with pytest.raises(FileNotFoundError):
        nsbox.run(["no-such-command"], spec(lambda _: None))


def test_a_command_that_is_killed_while_it_waits_ends() -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        waiting.set()
        go_on.wait(20)

    with nsbox.popen(["mkdir", "/tmp/a"], spec(hold)) as process:
        assert waiting.wait(20)
        process.kill()
        assert process.wait(timeout=20) == -9
        go_on.set()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="spec: who is asked"):
        nsbox.Pool(spec(lambda _: None))
    with pytest.raises(ValueError, match="handler"):
        Seccomp([Rule("mkdir", "notify")])
    with pytest.raises(ValueError, match="handler"):
        Seccomp([], handler="text")
    with pytest.raises(ValueError, match="default"):
        Seccomp([], "notify", handler=print)
    with pytest.raises(ValueError, match="rules: by close, sendmsg"):
        Seccomp.standard().notify("sendmsg", "close", "mkdir", handler=print)
