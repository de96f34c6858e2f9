"""How calls, workers and executors end: nothing is left, nothing hangs."""

import asyncio
import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from below import processes_below, until

import nsbox
from nsbox import BoxExecutor, BoxSpec, Mount, RootFS
from nsbox.executor import worker as worker_module

cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPEC = BoxSpec(rootfs=RootFS.system(python=True))
IN_ONE_BOX: dict[str, Any] = {"python": sys.executable}
"""What has calls share the box of their worker, and so its zygote within reach."""
ZYGOTE = 2


@pytest.fixture
def shared(tmp_path: Path) -> BoxSpec:
    """What a call can be told in, by a file `go` in the test's folder."""
    return attrs.evolve(SPEC, rootfs=SPEC.rootfs.with_mounts(Mount.bind(tmp_path, "/shared")))


def wait_for_go() -> None:
    for _ in range(6000):
        if os.path.exists("/shared/go"):
            break
        time.sleep(0.01)


def leave_all() -> None:
    """Leave files, folders, a daemon, a thread, and another interpreter."""
    Path("/tmp/left").write_text("x")
    os.makedirs("/tmp/folder/below")
    os.chmod("/tmp/folder", 0)
    Path("/dev/shm/left").write_text("x")
    os.environ["LEFT"] = "x"
    sys.left = True  # type: ignore[attr-defined]
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            while True:
                time.sleep(10)
    threading.Thread(target=time.sleep, args=(100,)).start()


def look() -> tuple[Any, ...]:
    running = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return (
        sorted(os.listdir("/tmp") + os.listdir("/dev/shm")),
        set(running) - {1, ZYGOTE, os.getpid()},
        os.environ.get("LEFT"),
        hasattr(sys, "left"),
        threading.active_count(),
    )


@pytest.mark.parametrize("how", [{}, IN_ONE_BOX, {"isolation": "box"}], ids=str)
def test_what_a_call_leaves_is_gone_before_the_next(how: dict[str, Any]) -> None:
    with BoxExecutor(SPEC, max_workers=1, **how) as executor:
        assert executor.box_per_call == (how != IN_ONE_BOX)
        files, *rest = executor.submit(look).result(timeout=60)
        assert rest == [set(), None, False, 1]
        for _ in range(3):
            executor.submit(leave_all).result(timeout=60)
            assert executor.submit(look).result(timeout=60) == (files, *rest)


def test_without_isolation_the_next_call_finds_it() -> None:
    with BoxExecutor(SPEC, max_workers=1, isolation="none") as executor:
        executor.submit(setattr, sys, "left", True).result(timeout=60)
        executor.submit(exec, "import sys; sys.left = True").result(timeout=60)
        assert executor.submit(look).result(timeout=60)[3] is True


def write_to_input() -> None:
    with open("/proc/self/fd/0", "wb", buffering=0) as file:
        file.write(b"left")


def read_input() -> bytes:
    os.set_blocking(0, False)
    return os.read(0, 100)


@pytest.mark.parametrize("how", [{}, IN_ONE_BOX], ids=str)
def test_standard_input_is_every_calls_own(how: dict[str, Any]) -> None:
    with BoxExecutor(SPEC, max_workers=1, **how) as executor:
        for _ in range(2):
            executor.submit(write_to_input).result(timeout=60)
            assert executor.submit(read_input).result(timeout=60) == b""


def reach_for_memory() -> str:
    try:
        with open(f"/proc/{ZYGOTE}/mem", "r+b"):
            return "opened"
    except PermissionError:
        return "refused"


def attach() -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return libc.ptrace(16, ZYGOTE, 0, 0)  # PTRACE_ATTACH


def test_a_call_cannot_reach_into_what_later_calls_come_from() -> None:
    with BoxExecutor(SPEC, max_workers=1, **IN_ONE_BOX) as executor:
        assert executor.submit(reach_for_memory).result(timeout=60) == "refused"
        assert executor.submit(attach).result(timeout=60) == -1


def lower_limits() -> None:
    import resource

    resource.prlimit(ZYGOTE, resource.RLIMIT_FSIZE, (0, 0))


def limit() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)


@pytest.mark.parametrize(
    "harm",
    [
        lambda: os.kill(ZYGOTE, signal.SIGKILL),
        lambda: os.kill(ZYGOTE, signal.SIGSTOP),
        lambda: os.setpriority(os.PRIO_PROCESS, ZYGOTE, 19),
        lower_limits,
    ],
    ids=["kill", "stop", "nice", "limits"],
)
def test_a_worker_that_a_call_has_harmed_is_replaced(
    harm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "PATIENCE", 1.0)
    with BoxExecutor(SPEC, max_workers=1, **IN_ONE_BOX) as executor:
        before = executor.submit(limit).result(timeout=60)
        concurrent.futures.wait([executor.submit(harm)], timeout=60)
        assert executor.submit(limit).result(timeout=60) == before
        here = os.getpriority(os.PRIO_PROCESS, 0)
        assert executor.submit(os.getpriority, os.PRIO_PROCESS, 0).result(timeout=60) == here


def test_after_shutdown_nothing_is_taken_and_all_that_was_is_done() -> None:
    executor = BoxExecutor(SPEC, max_workers=2)
    futures = [executor.submit(pow, n, 2) for n in range(6)]
    executor.shutdown()
    assert [future.result(timeout=0) for future in futures] == [0, 1, 4, 9, 16, 25]
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pow, 2, 2)


def test_shutdown_can_cancel_what_waits(shared: BoxSpec, tmp_path: Path) -> None:
    executor = BoxExecutor(shared, max_workers=1)
    futures = [executor.submit(wait_for_go) for _ in range(5)]
    until(futures[0].running)
    # The first runs until the last is cancelled: none of them can have begun before.
    futures[-1].add_done_callback(lambda _: (tmp_path / "go").touch())
    executor.shutdown(cancel_futures=True)
    assert futures[0].result(timeout=0) is None
    assert all(future.cancelled() for future in futures[1:])


def sleep_and_tell() -> None:
    os.write(1, b"x")
    time.sleep(1000)


def test_kill_workers_ends_what_runs(tmp_path: Path) -> None:
    with open(tmp_path / "told", "ab") as told:
        executor = BoxExecutor(SPEC, max_workers=2, stdout=told)
        futures = [executor.submit(sleep_and_tell) for _ in range(4)]
        until(lambda: (tmp_path / "told").read_bytes() == b"xx")
        executor.kill_workers()
        executor.shutdown()
    assert [type(future.exception(timeout=0)) for future in futures[:2]] == [nsbox.WorkerDied] * 2
    assert all(future.cancelled() for future in futures[2:])


def test_an_interrupt_ends_the_block_at_once() -> None:
    futures = []

    def interrupted() -> None:
        with BoxExecutor(SPEC, max_workers=1) as executor:
            futures.append(executor.submit(time.sleep, 1000))
            until(futures[0].running)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert futures[0].done()


def test_one_that_is_forgotten_warns_and_ends() -> None:
    executors = [BoxExecutor(SPEC, max_workers=1)]
    future = executors[0].submit(pow, 2, 5)
    with pytest.warns(ResourceWarning, match="not shut down"):
        executors.clear()
    assert future.result(timeout=60) == 32


def script(text: str, **kwargs: Any) -> "subprocess.Popen[str]":
    begin = "import nsbox, os, signal, sys, time\nexecutor = nsbox.BoxExecutor(max_workers=1)\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + text], stdout=subprocess.PIPE, text=True, **kwargs
    )


@pytest.fixture
def no_more_threads() -> Iterator[Callable[[], Any]]:
    """Return what has no thread started: none has room for so large a stack."""
    before = threading.stack_size()
    yield lambda: threading.stack_size(1 << 47)
    threading.stack_size(before)


def test_a_thread_that_cannot_be_started_is_told_and_the_next_call_is_done(
    no_more_threads: Callable[[], Any],
) -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        no_more_threads()
        with pytest.raises(RuntimeError, match="start new thread"):
            executor.submit(pow, 2, 5)
        threading.stack_size(0)
        assert executor.submit(pow, 2, 5).result(timeout=60) == 32


def test_a_call_for_which_no_thread_can_be_started_is_done_by_another(
    no_more_threads: Callable[[], Any], shared: BoxSpec, tmp_path: Path
) -> None:
    with BoxExecutor(shared, max_workers=2) as executor:
        first = executor.submit(wait_for_go)
        until(first.running)
        no_more_threads()
        second = executor.submit(pow, 2, 5)
        (tmp_path / "go").touch()
        assert second.result(timeout=60) == 32


REFUSED = "cannot schedule new futures after shutdown"


@pytest.mark.parametrize(
    ("end", "where", "told"),
    [
        ("executor.kill_workers()", "start", REFUSED),
        ("go(), executor.shutdown()", "put", REFUSED),
        ("go(), executor.shutdown()", "start", "32"),  # which waits for the call as well
    ],
)
def test_a_handler_can_end_an_executor_that_just_takes_a_call(
    end: str, where: str, told: str, tmp_path: Path
) -> None:
    """The signal comes where `submit` calls a function of the name `where`.

    The first call runs at least until then, or its thread would be free for the second.
    """
    with script(
        f"def go(): os.mknod('{tmp_path}/go')\n"
        "def wait():\n"
        "    while not os.path.exists('/shared/go'): time.sleep(0.01)\n"
        f"mount = nsbox.Mount.bind('{tmp_path}', '/shared')\n"
        "spec = nsbox.BoxSpec(rootfs=nsbox.RootFS.system(python=True).with_mounts(mount))\n"
        "executor = nsbox.BoxExecutor(spec, max_workers=2)\n"
        "first = executor.submit(wait)\n"
        f"signal.signal(signal.SIGUSR1, lambda *_: ({end}))\n"
        "def watch(frame, event, about):\n"
        "    name = about.__name__ if event == 'c_call' else frame.f_code.co_name\n"
        f"    if event in ('call', 'c_call') and name == {where!r}:\n"
        "        sys.setprofile(None)\n"
        "        signal.raise_signal(signal.SIGUSR1)\n"
        "sys.setprofile(watch)\n"
        "try: second = executor.submit(pow, 2, 5)\n"
        "except RuntimeError as error: print(error)\n"
        "else: print(second.cancelled() or second.exception(timeout=60) or second.result())\n"
        "executor.shutdown()\n"
        "print(first.done())\n"
    ) as process:
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out.splitlines() == [told, "True"]


def test_an_interpreter_that_exits_does_first_what_was_submitted() -> None:
    with script(
        "for n in range(4): executor.submit(pow, n, 2).add_done_callback(lambda f: print(f.result()))\n"
        "print('end')\n"
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(out.split()) == ["0", "1", "4", "9", "end"]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_an_owner_that_is_ended_leaves_no_box(sig: signal.Signals) -> None:
    with script(
        "def work(): print('running', flush=True); time.sleep(1000)\n"
        "executor.submit(work).result()\n",
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        until(lambda: len(list(processes_below(process.pid))) >= 5)  # a zygote, a call, their
        boxes = list(processes_below(process.pid))  # first processes, and that of the next
        process.send_signal(sig)
        process.wait(timeout=60)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in boxes))


def test_a_fork_of_the_owner_can_neither_use_nor_harm_it() -> None:
    with script(
        "assert executor.submit(pow, 2, 3).result() == 8\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try: executor.submit(pow, 2, 2)\n"
        "    except RuntimeError as error: print(error, flush=True)\n"
        "    executor.kill_workers(); executor.shutdown(); sys.exit(4)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "print(executor.submit(pow, 2, 5).result())\n"
        "executor.shutdown()\n"
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert out.split("\n")[1:] == ["4", "32", ""]
    assert "fork" in out
    assert process.returncode == 0


def test_it_works_inside_of_a_running_loop() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        with BoxExecutor(SPEC, max_workers=2) as executor:
            first = executor.submit(pow, 2, 2).result(timeout=60)
            calls = [loop.run_in_executor(executor, pow, n, 2) for n in range(5)]
            return [first, *await asyncio.gather(*calls)]

    assert asyncio.run(main()) == [4, 0, 1, 4, 9, 16]


def test_many_threads_submit_and_every_hundredth_worker_dies() -> None:
    wrong: list[Any] = []

    def submit(executor: BoxExecutor, start: int) -> None:
        for n in range(start, start + 100):
            if n % 100 == 50:
                error = executor.submit(os._exit, 1).exception(timeout=120)
                wrong.extend([error] if not isinstance(error, nsbox.WorkerDied) else [])
            elif (answer := executor.submit(pow, n, 2).result(timeout=120)) != n * n:
                wrong.append(answer)

    with BoxExecutor(SPEC, max_workers=3) as executor:
        threads = [threading.Thread(target=submit, args=(executor, i * 100)) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
