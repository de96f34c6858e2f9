"""However an owner ends, its boxes end with it; what it could not remove, `reap` removes.

See also test_hazards.py, test_box.py and test_executor_ends.py of the kernel tests.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from groups import groups_named

import nsbox
from nsbox import Cgroup, Resources

PRELUDE = """
import atexit, gc, os, signal, sys, threading, time, warnings
import nsbox
from nsbox import BoxExecutor, BoxSpec, Resources
word = sys.argv[1]
limits = Resources(pids_max=20) if nsbox.probe().cgroups.writable else Resources()
spec = BoxSpec(hostname="owned", resources=limits)
def start():
    box = spec.start()
    return box, box.popen(["sleep", word]), nsbox.popen(["sleep", word], spec)
def ready(*_):
    print("ready", flush=True)
"""


@pytest.fixture
def word() -> str:
    """What the commands of this test's boxes are known by: seconds to sleep."""
    return f"{random.randrange(10**8, 10**9)}"


def commands_with(word: str) -> list[str]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if cmdline.read_bytes().split(b"\0")[:2] == [b"sleep", word.encode()]:
                found.append(cmdline.parent.name)
    return found


def running(word: str, count: int) -> bool:
    """Whether there are so many; what a command is called is told a moment after its exec."""
    deadline = time.monotonic() + 5
    while len(commands_with(word)) != count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(commands_with(word)) == count


def settled(word: str) -> bool:
    deadline = time.monotonic() + 10
    while commands_with(word) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not commands_with(word)


def groups_of(pid: int) -> list[Path]:
    return groups_named(f"nsbox-{pid}-*")


def folders_of(pid: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"nsbox-{pid}-*"))


@contextlib.contextmanager
def owner(script: str, word: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + script, word],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


HOLD = "kept = start()\nready()\ntime.sleep(1000)\n"


@pytest.mark.guest
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_to_the_owner_ends_all_its_boxes(word: str, sig: signal.Signals) -> None:
    with owner(HOLD, word) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert running(word, 2)
        process.send_signal(sig)
        process.wait(timeout=20)
        assert settled(word)
        nsbox.reap()
        assert groups_of(process.pid) == folders_of(process.pid) == []


BUSY = """
ready()
while True:
    box, one, two = start()
    two.close(); one.close(); box.close()
"""


def test_an_owner_killed_at_any_moment_of_a_start_leaves_nothing_that_runs(word: str) -> None:
    for _ in range(6):
        with owner(BUSY, word) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0, 0.06))
            process.kill()
            process.wait(timeout=20)
            assert settled(word)
            nsbox.reap()
            assert groups_of(process.pid) == []


HUNGRY = "kept = start()\nready()\nsys.stdin.readline()\nhog = []\nwhile True: hog.append(bytearray(1 << 20))\n"


def test_an_owner_that_is_out_of_memory_takes_its_boxes_along(word: str) -> None:
    report = nsbox.probe().cgroups
    if not report.writable or "memory" not in nsbox.subsystems():
        pytest.skip(f"needs a memory group to write to: {report.reason}")
    with Cgroup.create(f"nsbox-{os.getpid()}-hungry", Resources(memory_max="96M")) as group:
        command = [sys.executable, "-W", "ignore", "-c", PRELUDE + HUNGRY, word]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            group.attach(process.pid)
            process.stdin.write("\n")
            process.stdin.close()
            assert process.wait(timeout=60) == -signal.SIGKILL
            assert settled(word)
            nsbox.reap()
            assert groups_of(process.pid) == []


EXITS = {
    "the end of the program": "kept = start()\nready()\n",
    "sys.exit": "kept = start()\nready()\nsys.exit(3)\n",
    "an exception": "kept = start()\nready()\nraise RuntimeError\n",
    "os._exit": "kept = start()\nready()\nos._exit(3)\n",
    "in a cycle": "kept = [start()]\nkept.append(kept)\nready()\n",
    "in a thread": (
        "holds = threading.Event()\n"
        "def hold():\n    kept = start()\n    ready()\n    holds.set()\n    kept[2].wait()\n"
        "threading.Thread(target=hold, daemon=True).start()\nholds.wait()\n"
    ),
    "at exit": "kept = start()\natexit.register(lambda: kept[0].run(['true']))\nready()\n",
    "an executor": (
        "executor = BoxExecutor(max_workers=2)\nfuture = executor.submit(int, '7')\n"
        "assert future.result() == 7\nkept = start()\nready()\n"
    ),
    "exec": "kept = start()\nready()\nos.execvp('true', ['true'])\n",
}


@pytest.mark.parametrize("script", EXITS.values(), ids=EXITS.keys())
def test_boxes_end_with_their_interpreter(word: str, script: str) -> None:
    with owner(script, word) as process:
        shown, errors = process.communicate(timeout=60)
        assert shown == "ready\n", errors
        assert settled(word)
        nsbox.reap()
        assert groups_of(process.pid) == []


COLLECTED = """
import logging
warnings.simplefilter("always")
def forget():
    kept = start()
    return kept[0].pid
pid = forget(); gc.collect()
print(os.path.exists(f"/proc/{pid}"))
cycle = list(start()); cycle.append(cycle); pid = cycle[0].pid
del cycle; gc.collect()
print(os.path.exists(f"/proc/{pid}"))
one = nsbox.popen(["sleep", word], spec); pid = one.pid
one = None; gc.collect()
print(os.path.exists(f"/proc/{pid}"), open(f"/proc/self/task/{os.getpid()}/children").read().split())
"""


def test_handles_that_are_collected_end_their_boxes_and_warn(word: str) -> None:
    with owner(COLLECTED, word) as process:
        shown, errors = process.communicate(timeout=60)
        assert shown.split() == ["False", "False", "False", "[]"], errors
        assert errors.count("ResourceWarning") >= 3
        assert settled(word)
        assert groups_of(process.pid) == []


INTERRUPTED = """
import random
random.seed(int(word))
def children():
    gc.collect()
    return open(f"/proc/self/task/{os.getpid()}/children").read()
start()[2].close(); gc.collect()
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
stopped = number = 0
while stopped < 30:
    number += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 0.015))
        kept = start()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        stopped += 1
    kept = None  # here, where nothing interrupts: as the start returned, the timer may have rung
    assert children() == "", number
"""


def test_an_interrupt_in_the_middle_of_a_start_leaves_no_box(word: str) -> None:
    with owner(INTERRUPTED, word) as process:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert settled(word)
        nsbox.reap()
        assert groups_of(process.pid) == []


FORKED = """
kept = start()
pid = os.fork()
if pid == 0:
    time.sleep(1000)
print(pid, flush=True)
ready()
time.sleep(1000)
"""


def test_a_fork_that_outlives_its_owner_keeps_no_box_alive(word: str) -> None:
    with owner(FORKED, word) as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        try:
            assert process.stdout.readline() == "ready\n"
            process.kill()
            process.wait(timeout=20)
            assert settled(word)
            assert Path(f"/proc/{fork}").exists()
            nsbox.reap()
            assert groups_of(process.pid) == []
        finally:
            os.kill(fork, signal.SIGKILL)


NETWORKED = """
from nsbox.network import Bridge
lan = Bridge.create("10.77.0.1/24")
box = BoxSpec(hostname="one", link=lan).start()
kept = box.popen(["sleep", word])
ready()
time.sleep(1000)
"""


def test_reap_takes_the_dead_owners_and_leaves_the_living_alone(word: str) -> None:
    pytest.importorskip("pyroute2")
    other = str(int(word) - 1)
    with owner(NETWORKED, word) as dead, owner(HOLD, other) as living:
        for process in (dead, living):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        groups = groups_of(living.pid)
        assert len(folders_of(dead.pid)) == 1
        dead.kill()
        dead.wait(timeout=20)
        assert settled(word)
        assert nsbox.reap()
        assert groups_of(dead.pid) == folders_of(dead.pid) == []
        assert groups_of(living.pid) == groups
        assert running(other, 2)


def test_reap_follows_no_link_and_takes_no_folder_of_anybody_elses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    top = Path(tempfile.gettempdir())
    name = f"nsbox-1-{os.getpid()}-hosts"  # as of process 1, with a number of its own
    link, open_to_all = top / f"{name}-link", top / f"{name}-open"
    link.symlink_to(tmp_path)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    try:
        nsbox.reap()
        assert (tmp_path / "file").read_text() == "kept"
        assert link.is_symlink()
        assert open_to_all.is_dir()
    finally:
        link.unlink()
        open_to_all.rmdir()
