"""Calls that end otherwise than calls do, or do not end: their executor goes on, and never hangs."""

import ctypes
import errno
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from below import until, zygotes

import nsbox
from nsbox import BoxExecutor, BoxSpec, Mount, Resources, RootFS
from nsbox.executor import worker as worker_module
from nsbox.executor.boxes import Boxes
from nsbox.process import Process

cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPEC = BoxSpec(rootfs=RootFS.system(python=True))
SYS_CLONE = {"x86_64": 56}.get(platform.machine(), 220)
CLONE_PARENT = 0x8000

needs_root = pytest.mark.usefixtures("root")  # nobody else is told where a zygote is


def elsewhere(function: Callable[[], None]) -> None:
    """Run it in an interpreter of its own, which can be ended if it hangs."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    name = Path(__file__).stem
    text = f"import sys; sys.path += {paths!r}; import {name}; {name}.{function.__name__}()"
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def begin_sibling(seconds: float) -> int:
    """Have a process of the call's box be a child of the zygote."""
    flags = CLONE_PARENT | signal.SIGCHLD
    pid: int = ctypes.CDLL(None).syscall(SYS_CLONE, flags, 0, 0, 0, 0)
    if pid == 0:
        time.sleep(seconds)
        os._exit(0)
    return pid


def siblings() -> None:
    worker_module.PATIENCE = 1000.0
    for how in ({}, {"python": sys.executable}):
        with BoxExecutor(SPEC, max_workers=1, **how) as executor:
            assert executor.box_per_call == (not how)
            for seconds in (0, 1000):
                assert executor.submit(begin_sibling, seconds).result() > 0
                assert executor.submit(pow, 2, 3).result() == 8


def test_what_a_call_makes_a_child_of_the_zygote_keeps_no_box_from_ending() -> None:
    elsewhere(siblings)


def leave_child(end: Callable[[], Any]) -> Any:
    if os.fork() == 0:
        time.sleep(1000)
    return end()


def dying() -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        ends = {3: lambda: os._exit(3), -9: lambda: os.kill(os.getpid(), 9), -6: os.abort}
        for code, end in ends.items():
            error = executor.submit(leave_child, end).exception()
            assert isinstance(error, nsbox.WorkerDied)
            assert error.returncode == code
            assert executor.submit(pow, 2, 3).result() == 8


def test_a_call_that_dies_is_told_of_though_a_child_of_it_lives() -> None:
    elsewhere(dying)


def answer_by_child() -> str:
    if os.fork() == 0:
        return "answer"
    time.sleep(1000)
    return ""


def close_and_stay() -> None:
    os.close(3)
    time.sleep(1000)


def staying() -> None:
    worker_module.PATIENCE = 1000.0
    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.submit(answer_by_child).result() == "answer"
        assert executor.submit(pow, 2, 3).result() == 8
        assert isinstance(executor.submit(close_and_stay).exception(), nsbox.WorkerDied)
        assert executor.submit(pow, 2, 3).result() == 8


def test_a_call_that_can_answer_no_more_is_not_waited_for() -> None:
    elsewhere(staying)


def tell_and_stay() -> None:
    os.write(1, b"x")
    time.sleep(1000)


def zygote_ended() -> None:
    with (
        tempfile.NamedTemporaryFile() as told,
        BoxExecutor(SPEC, max_workers=1, stdout=told) as executor,
    ):
        future = executor.submit(leave_child, tell_and_stay)
        until(Path(told.name).read_bytes)
        (zygote,) = zygotes()
        os.kill(zygote, signal.SIGKILL)
        assert isinstance(future.exception(), nsbox.WorkerDied)
        assert executor.submit(pow, 2, 3).result() == 8
        assert zygotes() != [zygote]


@needs_root
def test_a_zygote_that_is_ended_during_a_call_is_replaced() -> None:
    elsewhere(zygote_ended)


def end_by_hand(first: Process) -> None:
    """End a box, as the kernel does for want of memory: nobody has waited for it yet."""
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Boxes end at once where their way of being made is in this list."""
    listed: list[str] = []

    def patch(name: str) -> None:
        original = getattr(Boxes, name)

        def make(self: Boxes, *args: Any) -> Process | None:
            made: Process | None = original(self, *args)
            if made is not None and name in listed:
                end_by_hand(made)
            return made

        monkeypatch.setattr(Boxes, name, make)

    patch("_ready")
    patch("_start")
    return listed


def test_a_box_made_ahead_that_has_ended_is_replaced(ending: list[str]) -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        for listed in ([], ["_ready"], []):
            ending[:] = listed
            assert executor.submit(pow, 2, 3).result(timeout=60) == 8
        ending[:] = ["_ready", "_start"]
        error = executor.submit(pow, 2, 3).exception(timeout=60)
        assert isinstance(error, nsbox.WorkerDied)
        ending.clear()
        assert executor.submit(pow, 2, 3).result(timeout=60) == 8


@needs_root
def test_a_box_that_ends_before_the_fork_takes_its_call_and_no_other(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened = Boxes._open

    def open_and_end(self: Boxes, first: Process | None, nursery: Any) -> Any:
        found = opened(self, first, nursery)
        if first is not None and found is not None:
            end_by_hand(first)
        return found

    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.submit(pow, 2, 3).result(timeout=60) == 8
        before = zygotes()
        with monkeypatch.context() as patched:
            patched.setattr(Boxes, "_open", open_and_end)
            error = executor.submit(pow, 2, 3).exception(timeout=60)
        assert isinstance(error, nsbox.WorkerDied)
        assert "not started" in str(error)
        assert executor.submit(pow, 2, 3).result(timeout=60) == 8
        assert zygotes() == before
    assert capfd.readouterr().err == ""


@needs_root
def test_where_there_is_no_room_for_a_call_that_is_what_it_raises(
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "pids" not in nsbox.subsystems():
        pytest.skip("needs the pids subsystem in a hierarchy")
    spec = attrs.evolve(SPEC, resources=Resources(pids_max=3))
    with BoxExecutor(spec, max_workers=1) as executor:
        assert executor.box_per_call
        for _ in range(2):
            error = executor.submit(pow, 2, 3).exception(timeout=60)
            assert isinstance(error, nsbox.WorkerDied)
            assert os.strerror(errno.EAGAIN) in str(error)
        assert len(zygotes()) == 1
    assert capfd.readouterr().err == ""


def test_a_box_that_is_being_made_is_ended_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Process] = []
    ended: list[bool] = []
    start = Boxes._start

    def start_and_wait(self: Boxes, nursery: Any) -> Process:
        made.append(start(self, nursery))
        until(lambda: ended)
        return made[-1]

    monkeypatch.setattr(Boxes, "_start", start_and_wait)
    monkeypatch.setattr(worker_module.Process, "kill", lambda _: None)  # it may lack the right to
    executor = BoxExecutor(SPEC, max_workers=1)
    try:
        future = executor.submit(time.sleep, 30)
        until(lambda: made)
        executor.kill_workers()
        ended.append(True)
        assert isinstance(future.exception(timeout=20), nsbox.WorkerDied)
    finally:
        executor.shutdown()


def test_a_folder_that_is_replaced_between_calls_is_shown_anew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    mount = Mount.bind(data, "/data", readonly=True)
    spec = attrs.evolve(SPEC, rootfs=SPEC.rootfs.with_mounts(mount))
    with BoxExecutor(spec, max_workers=1) as executor:
        assert executor.box_per_call
        assert executor.submit(os.listdir, "/data").result(timeout=60) == []
        shutil.rmtree(data)
        data.mkdir()
        (data / "new").touch()
        assert executor.submit(os.listdir, "/data").result(timeout=60) == ["new"]
        shutil.rmtree(data)
        for _ in range(2):
            error = executor.submit(os.listdir, "/data").exception(timeout=60)
            assert isinstance(error, nsbox.StepError)
            assert error.errno == errno.ENOENT
        data.mkdir()
        assert executor.submit(os.listdir, "/data").result(timeout=60) == []


def forge(head: dict[str, Any]) -> None:
    encoded = json.dumps(head).encode()
    os.write(3, len(encoded).to_bytes(4, "big") + bytes(8) + encoded)
    os._exit(0)


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "step", "index": 2, "errno": 2},
        {"kind": "step", "index": -1, "errno": 2},
        {"kind": "step", "index": 10**30, "errno": 2},
        {"kind": "exception", "usage": [10**400, 0, 0]},
        {"kind": "exception", "usage": [0, 0, -1]},
        {"kind": "exception", "usage": [float("nan"), 0.0, 0]},
    ],
    ids=str,
)
def test_a_call_can_forge_an_exception_of_its_own_and_no_more(told: dict[str, Any]) -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        future = executor.submit(forge, told)
        assert isinstance(future.exception(timeout=60), nsbox.RemoteError)
        assert future.usage is None
        assert executor.submit(pow, 2, 3).result(timeout=60) == 8


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.submit(pow, 2, 3).result() == 8


def test_a_low_limit_of_descriptors_is_enough() -> None:
    elsewhere(few_descriptors)
