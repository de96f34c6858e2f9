"""Boxes and commands, awaited: no thread each, and a cancellation is an end."""

import asyncio
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from below import own_children
from living import LOOK, living

import nsbox
from nsbox import BoxSpec, aio

SLEEP = ["sleep", "1000"]


def go(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 120))


def children_of(pid: int) -> list[int]:
    while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        time.sleep(0.001)
    return [int(child) for child in found]


async def try_all(run: Any) -> None:
    done = await run(["sh", "-c", "cat; echo e >&2; exit 3"], input=b"in", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"e\n")
    done = await run(["printf", r"a\r\nb"], capture_output=True, text=True)
    assert done.stdout == "a\nb"
    assert done.usage.wall_seconds > 0
    done = await run(["cat"], input="é", stdout=nsbox.PIPE, encoding="latin-1")
    assert done.stdout == "é"
    assert (await run(["sh", "-c", "kill -TERM $$"])).returncode == -signal.SIGTERM
    with pytest.raises(subprocess.CalledProcessError):
        await run(["false"], check=True)
    with pytest.raises(FileNotFoundError):
        await run(["no-such-command"])
    command = ["sh", "-c", "echo so far; sleep 1000"]
    for timeout in (0.3, 3, 30):
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            await run(command, capture_output=True, timeout=timeout)
        if caught.value.stdout:
            break  # else its time was over before it had said anything
    assert caught.value.stdout == b"so far\n"
    with pytest.raises(TypeError, match="unexpected"):
        await run(["true"], shell=True)


def test_run_is_subprocess_run_awaited() -> None:
    go(try_all(aio.run))


def test_a_box_runs_the_same() -> None:
    async def main() -> None:
        async with await aio.start(BoxSpec(hostname="awaited")) as box:
            await try_all(box.run)
            done = await box.run(["hostname"], capture_output=True, text=True)
            assert done.stdout == "awaited\n"
            async with await box.popen(SLEEP) as sleeper:
                look = ["sh", "-c", "cat /proc/[0-9]*/comm; :"]
                while b"sleep" not in (await box.run(look, stdout=nsbox.PIPE)).stdout:
                    await asyncio.sleep(0.01)  # its program may not be there yet
                sleeper.terminate()
                assert await sleeper.wait() == -signal.SIGTERM

    go(main())


def test_a_pipe_that_somebody_else_holds_open_is_let_go_of_with_its_process(root: None) -> None:
    async def main() -> None:
        async with await aio.popen(SLEEP, stdout=nsbox.PIPE) as process:
            command = next(pid for pid in children_of(process.pid))
            other = os.open(f"/proc/{command}/fd/1", os.O_WRONLY)
        try:
            for _ in range(3):  # whose pipes get the numbers of those that were closed
                assert (await aio.run(["echo"], capture_output=True)).stdout == b"\n"
        finally:
            os.close(other)

    go(main())


def test_whoever_looks_at_the_process_takes_nothing_from_who_waits() -> None:
    async def main() -> None:
        async with await aio.start() as box:
            waiting = asyncio.create_task(box.wait())
            await asyncio.sleep(0)
            box.sync.kill()
            while box.sync.poll() is None:
                time.sleep(0.001)
            assert await waiting == -signal.SIGKILL
        async with await aio.popen(["true"]) as process:
            os.waitid(os.P_PIDFD, process._sync.fileno(), os.WEXITED | os.WNOWAIT)
            process.terminate()
            assert await process.wait() == 0

    go(main())


def test_pipes_are_streams_and_move_more_than_they_hold() -> None:
    async def main() -> None:
        script = 'while read line; do echo "got $line"; done'
        async with await aio.popen(
            ["sh", "-c", script], stdin=nsbox.PIPE, stdout=nsbox.PIPE
        ) as process:
            for word in (b"a", b"b"):
                process.stdin.write(word + b"\n")
                assert await process.stdout.readline() == b"got " + word + b"\n"
            process.stdin.close()
            assert await process.wait() == 0
        data = os.urandom(5_000_000)
        done = await aio.run(["cat"], input=data, capture_output=True)
        assert done.stdout == data
        assert (await aio.run(["true"], input=data)).returncode == 0

    go(main())


@pytest.mark.parametrize("after", [0, 0.001, 0.05, 0.3])
def test_a_cancelled_run_has_ended_its_box(after: float) -> None:
    async def main() -> None:
        task = asyncio.create_task(aio.run(["sh", "-c", "sleep 1000 & sleep 1000"], stdout=-1))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert own_children() == []

    go(main())


def test_a_cancelled_run_in_a_box_leaves_the_box() -> None:
    async def main() -> None:
        async with await aio.start() as box:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(box.run(["sh", "-c", "sleep 1000 & sleep 1000"]), 0.3)
            done = await box.run(LOOK, stdout=nsbox.PIPE, text=True)
            assert "sleep" not in living(done.stdout)
            assert box.sync.poll() is None

    go(main())


def test_cancelling_a_wait_leaves_the_command_alone() -> None:
    async def main() -> None:
        command = ["sh", "-c", "read line; exit 4"]
        async with await aio.popen(command, stdin=nsbox.PIPE) as process:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.05)
            process.stdin.close()
            first, second = await asyncio.gather(process.wait(), process.wait())
            assert first == second == process.returncode == 4

    go(main())


def test_a_task_group_that_fails_ends_all() -> None:
    async def main() -> None:
        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(10):
                    tasks.create_task(aio.run(SLEEP))
                tasks.create_task(aio.run(["false"], check=True))

        with pytest.raises(ExceptionGroup):
            await group()
        assert own_children() == []

    go(main())


@pytest.mark.parametrize("end", ["stop", "close", "kill"])
def test_a_box_ends(end: str) -> None:
    async def main() -> None:
        box = await aio.start()
        stubborn = ["sh", "-c", "trap '' TERM; echo r; while :; do sleep 0.05; done"]
        command = await box.popen(stubborn, stdout=nsbox.PIPE)
        assert await command.stdout.readline() == b"r\n"
        if end == "stop":
            await box.stop(timeout=0.2)
        elif end == "kill":
            box.sync.kill()
            await box.wait()
        await box.close()
        await box.close()
        assert await command.wait() != 0
        await command.close()

    go(main())


def test_the_loop_goes_on_meanwhile_and_sync_calls_work_in_it() -> None:
    async def main() -> int:
        ticks = 0
        reading, writing = os.pipe()

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                if ticks == 20:
                    os.close(writing)  # which ends the command
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        await aio.run(["cat"], stdin=reading)
        os.close(reading)
        assert nsbox.run(["true"]).returncode == 0
        ticking.cancel()
        return ticks

    assert go(main()) > 10


def test_a_thousand_at_once_take_no_threads() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1000, (hard - 200) // 6)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count * 6 + 200), hard))
    peak = 0

    async def one(number: int) -> int:
        nonlocal peak
        script = f"echo {number}; sleep 0.5"
        done = await aio.run(["sh", "-c", script], stdout=nsbox.PIPE, text=True)
        peak = max(peak, threading.active_count())
        return int(done.stdout)

    async def main() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(count)))

    try:
        assert go(main()) == list(range(count))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert count >= 100
    assert peak <= threading.active_count() + 1


def test_another_loop_in_another_thread() -> None:
    """Nothing hangs on the main thread: no signal handler, no child watcher."""
    answers: list[int] = []

    def work() -> None:
        answers.append(go(aio.run(["sh", "-c", "exit 6"])).returncode)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [6] * 4


def test_a_fork_has_no_part_in_it() -> None:
    async def main() -> None:
        async with await aio.popen(SLEEP) as process:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert process.returncode is None
            began = time.monotonic()
        assert time.monotonic() - began < 10

    go(main())
