"""The hazards of a child that shares its caller's memory: each looked for, none found."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, Process
from nsbox.namespace.choices import Choices

PR_GET_DUMPABLE = 3
SPECS = [pytest.param(BoxSpec(), id="init"), pytest.param(BoxSpec(init=False), id="no-init")]


def sleeping(spec: BoxSpec = BoxSpec(), seconds: int = 1000) -> Process:
    return nsbox.popen(["sleep", str(seconds)], spec)


def gone(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


def pid_inside(process: Process) -> int:
    """The command's pid as the host sees it."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


@pytest.mark.guest
@pytest.mark.parametrize("spec", SPECS)
def test_the_caller_stays_dumpable(spec: BoxSpec) -> None:
    libc = ctypes.CDLL(None)
    before = libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
    nsbox.run(["true"], spec)
    assert libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == before == 1


@pytest.mark.parametrize("spec", SPECS)
def test_no_handler_of_the_caller_runs_in_the_child(spec: BoxSpec) -> None:
    """A storm of signals while boxes start: each is handled in the caller, none is lost."""
    handled: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: handled.append(os.getpid()))
    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0005)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        results = [nsbox.run(["sh", "-c", "exit 5"], spec).returncode for _ in range(30)]
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
    assert results == [5] * 30
    assert set(handled) == {os.getpid()}


@pytest.mark.parametrize("spec", SPECS)
def test_other_threads_open_and_close_descriptors_meanwhile(spec: BoxSpec) -> None:
    """The child begins with the caller's own descriptor table: it must let go before it acts."""
    wrong: list[str] = []
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            fd = os.open("/dev/null", os.O_RDONLY)
            try:
                os.close(fd)
            except OSError as error:  # somebody else closed it
                wrong.append(str(error))

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            done = nsbox.run(["ls", "/proc/self/fd"], spec, capture_output=True, text=True)
            assert done.stdout.split() == ["0", "1", "2", "3"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("high", [False, True], ids=["low", "high"])
def test_pipes_at_any_number_reach_their_places(high: bool) -> None:
    """The descriptors of a launch may stand where others of it are to go."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(200 if high else 0)]
    try:
        for _ in range(12):
            held.append(os.open("/dev/null", os.O_RDONLY))
            done = nsbox.run(["sh", "-c", "cat; echo e >&2"], input=b"i", capture_output=True)
            assert (done.stdout, done.stderr) == (b"i", b"e\n")
    finally:
        for fd in held:
            os.close(fd)


def test_a_callers_output_can_be_its_own_input_number() -> None:
    """Standard streams crossed over: 0 is given as output, 1 as input."""
    script = (
        "import os, nsbox\n"
        "r, w = os.pipe(); os.write(w, b'crossed'); os.close(w)\n"
        "keep = os.dup(1); os.dup2(r, 1); os.close(r)\n"
        "r2, w2 = os.pipe(); os.dup2(w2, 0); os.close(w2)\n"
        "code = nsbox.run(['cat'], stdin=1, stdout=0).returncode\n"
        "os.close(0)\n"
        "os.write(keep, os.read(r2, 100) + b' %d' % code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == b"crossed 0", done.stderr


@pytest.mark.once
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("threads", [8])
def test_a_process_with_busy_threads_loses_nothing(threads: int) -> None:
    """2,000 runs while 8 threads compute: no deadlock, no descriptor, no zombie, no mount."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(200))

    busy = [threading.Thread(target=compute) for _ in range(threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)  # else most of the time goes into waiting for the interpreter
    for thread in busy:
        thread.start()
    try:
        for number in range(2000):
            assert nsbox.run(["sh", "-c", f"exit {number % 256}"]).returncode == number % 256
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        for thread in busy:
            thread.join()


def test_many_threads_start_boxes_at_once() -> None:
    results: dict[int, bytes] = {}

    def start(number: int) -> None:
        for round_ in range(20):
            word = f"{number}-{round_}".encode()
            results[number * 100 + round_] = nsbox.run(
                ["cat"], input=word, stdout=nsbox.PIPE
            ).stdout
            assert results[number * 100 + round_] == word

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160


def test_the_box_outlives_the_thread_that_started_it() -> None:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(sleeping()))
    thread.start()
    thread.join()
    with started[0] as process:
        time.sleep(0.1)
        assert process.poll() is None


OWNER = (
    "import sys, time, os, nsbox\n"
    "process = nsbox.popen(['sleep', '1000'])\n"
    "print(process.pid, flush=True)\n"
)


@pytest.mark.guest
def test_a_box_dies_with_its_owner() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER + "time.sleep(1000)"], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert not gone(pid, 0.2)
        owner.kill()
    assert gone(pid)


def test_a_box_dies_with_its_owner_though_a_fork_of_it_lives_on() -> None:
    script = OWNER + "os.close(1) if os.fork() else time.sleep(20)\ntime.sleep(1000)"
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children")
    while len(children.read_text().split()) < 2:
        time.sleep(0.01)
    fork = next(int(child) for child in children.read_text().split() if int(child) != pid)
    owner.kill()
    owner.wait()
    try:
        assert gone(pid)
        assert Path(f"/proc/{fork}").exists()
    finally:
        os.kill(fork, signal.SIGKILL)
        owner.stdout.close()


@pytest.mark.guest
@pytest.mark.parametrize(
    "namespaces",
    [
        nsbox.ISOLATED,
        pytest.param(
            nsbox.ISOLATED | {NamespaceType.PID: Choice.HOST},
            marks=pytest.mark.skipif(
                os.geteuid() != 0, reason="needs root: /proc of the host's pids"
            ),
        ),
    ],
    ids=["own-pids", "host-pids"],
)
def test_a_timeout_ends_the_whole_tree(namespaces: Choices) -> None:
    seconds = 100000 + os.getpid()
    script = (
        f"(setsid sleep {seconds} & sleep {seconds} &) & setsid sh -c 'sleep {seconds} & wait' & "
    )
    script += f"trap '' TERM HUP; sleep {seconds}"
    with pytest.raises(subprocess.TimeoutExpired):
        nsbox.run(["sh", "-c", script], BoxSpec(namespaces=namespaces), timeout=0.4)
    assert not commands_with(str(seconds))


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    seconds = 200000 + os.getpid()
    assert nsbox.run(["sh", "-c", f"sleep {seconds} & exit 4"]).returncode == 4
    assert not commands_with(str(seconds))


def commands_with(word: str) -> list[str]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in cmdline.read_bytes().decode(errors="replace").split("\0"):
                found.append(str(cmdline))
        except OSError:
            continue
    return found


def test_orphans_are_reaped() -> None:
    script = (
        "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; "
        "until set -- /proc/[0-9]*; [ $# -le 2 ]; do sleep 0.01; done; "  # the first and the shell
        "cat /proc/[0-9]*/stat"
    )
    states = nsbox.run(["sh", "-c", script], capture_output=True, text=True, timeout=60).stdout
    assert ") Z " not in states
    assert len(states.splitlines()) <= 3


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "USR1", "USR2", "WINCH", "CONT"])
def test_signals_are_passed_on(name: str) -> None:
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.01; done"
    with nsbox.popen(["sh", "-c", script], stdout=nsbox.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.wait(timeout=60) == 3
        assert process.stdout.read() == f"got {name}\n".encode()


def test_the_first_process_shows_nothing_of_itself_to_the_box() -> None:
    """It shares memory with the caller: nothing in the box may trace it or open what it holds."""
    links = ("fd/4", "exe", "root", "cwd", "ns/net")
    reads = [f"readlink /proc/1/{link}" for link in links]
    for read in [*reads, "head -c 1 /proc/1/mem", "cat /proc/1/environ", "cat /proc/1/maps"]:
        done = nsbox.run(["sh", "-c", read], capture_output=True)
        assert (done.stdout, done.returncode) == (b"", 1), read


def test_the_first_process_cannot_be_ended_or_stopped_from_inside() -> None:
    script = "kill -9 1; kill -STOP 1; kill -SEGV 1; (sleep 0.1 &); sleep 0.2; cat /proc/1/stat"
    done = nsbox.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 or " S " in done.stdout  # SEGV was passed on, or had no effect


def test_the_first_processs_image_is_sealed() -> None:
    with sleeping() as process:
        with pytest.raises(
            OSError, match=r"Operation not permitted|Text file busy|Permission denied"
        ):
            os.close(os.open(f"/proc/{process.pid}/exe", os.O_WRONLY))
        assert "nsbox-init" in os.readlink(f"/proc/{process.pid}/exe")


def test_peak_memory_is_the_commands_and_not_the_callers() -> None:
    ballast = bytearray(300 << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    script = "b = bytearray(50 << 20); b[::4096] = b'x' * len(b[::4096])"
    small = nsbox.run(["true"]).usage.memory_peak
    large = nsbox.run(["/usr/bin/python3", "-c", script]).usage.memory_peak
    assert small is not None
    assert small < 20 << 20
    assert large is not None
    assert 50 << 20 < large < 90 << 20
    del ballast


def test_what_cannot_be_told_is_none() -> None:
    assert nsbox.run(["true"], BoxSpec(init=False)).usage.memory_peak is None


def test_an_interrupt_while_waiting_ends_the_box() -> None:
    script = (
        "import nsbox, threading, os, signal, time\n"
        "try:\n"
        "    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "    nsbox.run(['sleep', '1000'])\n"
        "except KeyboardInterrupt:\n"
        "    kids = open('/proc/thread-self/children').read()\n"
        "    print('interrupted', repr(kids))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "interrupted ''\n", done.stderr


def test_a_forgotten_process_is_warned_of_and_ended() -> None:
    with pytest.warns(ResourceWarning, match="not ended"):
        pid = sleeping().pid
    assert gone(pid)
