"""Boxes made ahead are as any other, each is used once, and none is left."""

import asyncio
import ctypes
import os
import resource
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import (
    BoxSpec,
    Cgroup,
    Choice,
    Mount,
    NamespaceType,
    Pool,
    Resources,
    RootFS,
    Seccomp,
    Security,
    aio,
)
from nsbox.ahead import Ahead
from nsbox.commands import Invocation
from nsbox.pool import _Stock
from nsbox.straight import straight_in


@pytest.fixture
def pool() -> Any:
    with Pool(size=2) as made:
        yield made


def test_run_is_nsbox_run(pool: Pool) -> None:
    assert pool.fill(60)
    done = pool.run(["sh", "-c", "cat; echo e >&2; exit 3"], input=b"in", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"e\n")
    assert done.usage.memory_peak > 0
    assert pool.fill(60)
    assert pool.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM
    assert pool.fill(60)
    done = pool.run(["env"], env={"ONLY": "this"}, capture_output=True, text=True)
    assert done.stdout == "ONLY=this\n"
    assert pool.fill(60)
    with pytest.raises(FileNotFoundError) as caught:
        pool.run(["no-such-command"])
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.filename == "no-such-command"
    assert pool.fill(60)
    for timeout in (0.3, 3, 30):
        with pytest.raises(subprocess.TimeoutExpired) as late:
            pool.run(["sh", "-c", "echo so far; sleep 1000"], capture_output=True, timeout=timeout)
        if late.value.stdout:
            break  # else its time was over before it had said anything
    assert late.value.stdout == b"so far\n"
    assert pool.fill(60)
    with pytest.raises(subprocess.CalledProcessError):
        pool.run(["false"], check=True)


def test_what_takes_more_than_a_command_is_made_on_demand(pool: Pool) -> None:
    assert pool.fill(60)
    done = pool.run(["sh", "-c", "pwd; umask"], cwd="/usr", umask=0o77, capture_output=True)
    assert done.stdout == b"/usr\n0077\n"
    assert pool.ready == 2
    long = "x" * 100_000
    done = pool.run(["sh", "-c", 'echo "$#"', *[long] * 5], capture_output=True, check=True)
    assert done.stdout == b"4\n"
    with pytest.raises(OSError, match="Argument list too long"):
        pool.run(["true", "x" * 200_000])


def test_no_box_is_used_twice(pool: Pool) -> None:
    pids = set()
    for _ in range(8):
        assert pool.fill(60)
        done = pool.run(["sh", "-c", "ls /tmp; touch /tmp/left"], capture_output=True, check=True)
        assert done.stdout == b""
        with pool.popen(["sleep", "1000"]) as process:
            pids.add(process.pid)
            process.kill()
            assert process.wait() == -signal.SIGKILL
    assert len(pids) == 8


def test_more_at_once_than_are_ready(pool: Pool) -> None:
    outputs: list[bytes] = []

    def run(number: int) -> None:
        done = pool.run(["echo", str(number)], capture_output=True, check=True)
        outputs.append(done.stdout)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == sorted(b"%d\n" % number for number in range(20))


def test_a_terminal_and_streams_work_as_ever(pool: Pool) -> None:
    assert pool.fill(60)
    with pool.popen(["cat"], stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True) as process:
        assert process.communicate("through\n") == ("through\n", None)
    assert pool.fill(60)
    with pool.popen(["sleep", "1000"]) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT


def test_awaited_too(pool: Pool) -> None:
    async def main() -> None:
        done = await asyncio.gather(
            *(aio.run(["echo", str(n)], pool, capture_output=True) for n in range(10))
        )
        assert [each.stdout for each in done] == [b"%d\n" % n for n in range(10)]

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("denied", ["ppoll", "recvmsg", "dup3"])
def test_a_filter_may_forbid_what_waiting_takes(denied: str) -> None:
    seccomp = Seccomp.standard().deny(denied)
    with Pool(BoxSpec(security=Security(seccomp=seccomp)), size=1) as pool:
        for _ in range(2):
            assert pool.fill(60)
            (ready,) = pool._stock.ready
            command = ["grep", "Seccomp:", "/proc/self/status"]
            with pool.popen(command, stdout=subprocess.PIPE) as process:
                assert process.pid == ready.launched.pid
                assert process.stdout.read().split() == [b"Seccomp:", b"2"]


@pytest.mark.parametrize(
    "wrong",
    [{"args": []}, {"args": ["a\0b"]}, {"env": {"a=b": ""}}, {"stdout": "x"}, {"encoding": "x"}],
)
def test_a_call_that_is_refused_costs_the_pool_a_box_and_leaves_none(wrong: dict[str, Any]) -> None:
    resources = Resources(pids_max=20) if nsbox.probe().cgroups.writable else Resources()
    with Pool(BoxSpec(resources=resources), size=1) as pool:
        assert pool.fill(60)
        with pytest.raises((ValueError, LookupError, AttributeError)):
            pool.run(**{"args": ["true"], **wrong})
        assert pool.run(["true"]).returncode == 0


def test_limits_hold_and_groups_go(root: None) -> None:
    spec = BoxSpec(resources=Resources(memory_max="64 MiB", pids_max=20))
    with Pool(spec, size=2) as pool:
        assert pool.fill(60)
        done = pool.run(["sh", "-c", "x=$(head -c 200000000 /dev/zero | tail); true"])
        assert done.usage.oom_killed
        assert pool.fill(60)
        done = pool.run(["true"], check=True)
        assert 0 < done.usage.memory_peak < 64 << 20
        with pool.popen(["sleep", "1000"]) as process:
            pass
        assert process.returncode == -signal.SIGKILL


def test_one_that_is_interrupted_as_it_begins_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = _Stock.begin

    def interrupted(stock: Any) -> None:
        begin(stock)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Stock, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Pool(size=2)
    assert "nsbox-pool" not in [thread.name for thread in threading.enumerate()]


def test_what_was_ended_for_memory_while_a_box_waited_is_not_its_command(root: None) -> None:
    hungry = ["sh", "-c", "x=$(head -c 200000000 /dev/zero | tail); true"]
    with (
        Cgroup.create(f"nsbox-{os.getpid()}-pool-oom", subsystems=["memory"]) as group,
        Pool(size=1, cgroup=group) as pool,
    ):
        group.set(Resources(memory_max="64 MiB"))
        assert pool.fill(60)
        assert nsbox.run(hungry, cgroup=group).usage.oom_killed
        assert not pool.run(["true"], check=True).usage.oom_killed


def test_a_command_that_runs_goes_on_when_its_pool_is_closed() -> None:
    with Pool(size=1) as pool:
        assert pool.fill(60)
        process = pool.popen(["cat"], stdin=nsbox.PIPE, stdout=nsbox.PIPE)
    assert process.communicate(b"x") == (b"x", None)
    assert process.returncode == 0
    pool.close()
    assert pool.run(["true"]).returncode == 0


def test_nonsense_is_refused() -> None:
    for size in (0, -1, True, "2"):
        with pytest.raises(ValueError, match="size"):
            Pool(size=size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="first process"):
        Pool(BoxSpec(init=False))
    with pytest.raises(TypeError, match="unexpected"), Pool(size=1) as pool:
        pool.run(["true"], shell=True)  # type: ignore[call-arg]


def test_what_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pool(BoxSpec(rootfs=RootFS.directory(tmp_path / "none")))


def test_to_look_at_one_that_cannot_end_takes_no_time(root: None) -> None:
    """What is traced from outside has not ended before its tracer has waited for it."""
    ptrace_seize = 0x4206
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long] * 4
    with Pool(size=1) as pool, pool.popen(["sleep", "1000"]) as process:
        (command,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert ptrace(ptrace_seize, int(command), 0, 0) == 0
        try:
            os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.1)  # for its descriptors to be closed
            assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        finally:
            os.waitpid(int(command), 0)
        assert process.wait(60) == -signal.SIGKILL


def test_the_answer_comes_where_there_is_no_room_for_the_pidfd_of_a_command() -> None:
    chores: list[Any] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for room in (False, True):
        ahead = Ahead(BoxSpec(), None, chores.append)
        assert select.select([ahead.socket], [], [], 60)[0]  # it has sent that
        args = ["sh", "-c", "exit 5"]
        command = ahead.parking.given(BoxSpec(), Invocation(args), None)
        lowest = os.dup(0)
        os.close(lowest)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft if room else lowest, hard))
            done = straight_in(ahead, command, ["sh"], False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert done is not None
        assert done.returncode == 5
        assert (ahead.launched.command >= 0) is room
        chores.pop()()
    assert chores == []


@pytest.mark.parametrize("most", [4, 8])
def test_a_command_that_may_have_few_descriptors_waits_all_the_same(most: int) -> None:
    chores: list[Any] = []
    spec = BoxSpec(security=Security(rlimits={"nofile": most}))
    ahead = Ahead(spec, None, chores.append)
    assert select.select([ahead.socket], [], [], 60)[0]
    command = ahead.parking.given(spec, Invocation(["sh", "-c", "exit 5"]), None)
    done = straight_in(ahead, command, ["sh"], False)
    assert done is not None
    assert done.returncode == 5
    chores.pop()()


def test_one_whose_command_cannot_be_run_ends_by_itself(pool: Pool) -> None:
    assert pool.fill(60)
    for start in (pool.run, pool.popen):
        with pytest.raises(FileNotFoundError):
            start(["/no-such-command"])
    assert pool.run(["true"]).returncode == 0


def test_without_a_pid_namespace_of_their_own(root: None) -> None:
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.PID: Choice.HOST})
    with Pool(spec, size=2) as pool:
        assert pool.fill(60)
        assert pool.run(["sh", "-c", "sleep 1000 & exit 4"]).returncode == 4
        with pool.popen(["sleep", "1000"]) as process:
            pass
        assert process.returncode == -signal.SIGKILL


def test_the_work_folders_of_an_overlay_go_with_its_box(tmp_path: Path, root: None) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for folder in (lower, upper):
        folder.mkdir()
    rootfs = RootFS.overlay(lower, upper=upper).with_mounts(
        Mount.bind("/usr", "/usr", readonly=True),
        *(Mount.symlink(f"/{name}", f"usr/{name}") for name in ("bin", "lib", "lib64")),
    )
    with Pool(BoxSpec(rootfs=rootfs), size=1) as pool:
        for _ in range(3):
            assert pool.fill(60)
            assert pool.run(["sh", "-c", "echo x >/file"]).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"lower", "upper"}
