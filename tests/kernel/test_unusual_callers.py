"""Callers that do what few do: ignore SIGCHLD, wait for anybody's children, close in a handler."""

import contextlib
import ctypes
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from below import until
from fresh import run_afresh

import nsbox
from nsbox import (
    BoxSpec,
    Choice,
    Mount,
    NamespaceType,
    Pool,
    Resources,
    RootFS,
    Security,
    UnsupportedError,
    _native,
)
from nsbox.ahead import Ahead
from nsbox.constants import Capability

PR_GET_DUMPABLE = 3
HOST_PIDS = nsbox.ISOLATED | {NamespaceType.PID: Choice.HOST}


@pytest.mark.parametrize("init", [True, False])
def test_one_that_ignores_sigchld_is_told_of_the_end(init: bool) -> None:
    """Without a first process the status is lost, and 0 as with subprocess."""
    script = (
        "import signal, subprocess, nsbox\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"spec = nsbox.BoxSpec(init={init})\n"
        "print(nsbox.run(['sh', '-c', 'exit 3'], spec, timeout=60).returncode)\n"
        "try:\n"
        "    nsbox.run(['sleep', '1000'], spec, timeout=0.2)\n"
        "except subprocess.TimeoutExpired:\n"
        "    print('in time')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == (b"3" if init else b"0") + b"\nin time\n", done.stderr


@pytest.mark.parametrize("init", [True, False])
def test_one_that_waits_for_any_child_leaves_the_handle_in_order(init: bool) -> None:
    process = nsbox.popen(["sh", "-c", "exit 3"], BoxSpec(init=init))
    assert os.waitpid(process.pid, 0)[1] == 3 << 8
    assert process.wait(timeout=60) == (3 if init else 0)
    process.close()


def waiting_without_a_pid_namespace() -> Ahead:
    """Make a box that has come to where it waits; /proc of the host's pids is root's to mount."""
    rootfs = RootFS.system().with_mounts(Mount.bind("/proc", "/proc"))
    spec = BoxSpec(namespaces=HOST_PIDS, rootfs=rootfs)
    ahead = Ahead(spec, None, lambda chore: chore())
    assert select.select([ahead.socket], [], [], 60)[0]
    assert ahead.launched.outcome.error == 0
    return ahead


def test_one_without_a_pid_namespace_may_give_up_a_box_that_waits() -> None:
    """Its first process hears nothing until the exec of a command that never comes."""
    ahead = waiting_without_a_pid_namespace()
    began = time.monotonic()
    ahead.launched.abandon()
    assert time.monotonic() - began < 60
    ahead._leaves = True  # there is nothing left to be discarded
    ahead.socket.close()


def test_signals_meanwhile_do_not_make_that_wait_for_ever() -> None:
    ahead = waiting_without_a_pid_namespace()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    timer = threading.Timer(1, lambda: signal.pthread_kill(threading.main_thread().ident, 14))
    timer.start()
    try:
        began = time.monotonic()
        ahead.launched.abandon()
        assert time.monotonic() - began < 60
    finally:
        timer.join()
        signal.signal(signal.SIGALRM, before)
    ahead._leaves = True
    ahead.socket.close()


def test_threads_that_make_files_for_a_boxs_root_leave_the_caller_to_be_looked_at(
    root: None, tmp_path: Path
) -> None:
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    tmp_path.chmod(0o777)

    def make(number: int) -> None:
        for one in range(100):
            name = f"{number}-{one}".encode()
            flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
            os.close(_native.open_beneath(folder, name, flags, 0o600, (1234, 1234)))

    try:
        for _ in range(10):
            threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            # Were the process not dumpable, its files in /proc would be root's of the host alone.
            assert _dumpable() == 1
        assert (tmp_path / "0-0").stat().st_uid == 1234
    finally:
        os.close(folder)


def _dumpable() -> int:
    return ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)


def test_a_low_limit_of_descriptors_is_not_in_the_way_of_those_passed() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"passed")
    os.close(writing)
    spec = BoxSpec(security=Security(rlimits={"nofile": 24}))
    try:
        done = nsbox.run(
            ["sh", "-c", f"ulimit -n; cat /proc/self/fd/{reading}"],
            spec,
            pass_fds=(reading,),
            capture_output=True,
        )
    finally:
        os.close(reading)
    assert done.stdout == b"24\npassed"


def test_who_could_trace_the_first_process_has_a_user_namespace(root: None) -> None:
    traces = Security(capabilities=Security().capabilities | Capability.CAP_SYS_PTRACE)
    with pytest.raises(UnsupportedError, match=r"^security: CAP_SYS_PTRACE"):
        nsbox.run(["true"], BoxSpec(security=traces))
    with pytest.raises(UnsupportedError, match=r"^security: CAP_SYS_PTRACE"):
        BoxSpec(security=traces).plan(["true"])
    user = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
    assert nsbox.run(["true"], BoxSpec(security=traces, namespaces=user)).returncode == 0


STEALS = """
import ctypes, os
first = os.pidfd_open(1)
libc = ctypes.CDLL(None, use_errno=True)
owner = libc.syscall(438, first, 4, 0)  # pidfd_getfd
print([libc.syscall(438, owner, number, 0) >= 0 for number in range(20)] if owner >= 0 else owner)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86-64: a number of a call")
def test_a_tracer_in_a_user_namespace_gets_nothing_of_the_starters(root: None) -> None:
    kept = Security().capabilities | Capability.CAP_SYS_PTRACE
    spec = BoxSpec(
        security=Security(capabilities=kept, seccomp=None),
        namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW},
        rootfs=RootFS.system(python=True).with_mounts(Mount.file("/steals.py", STEALS)),
    )
    done = nsbox.run([sys.executable, "/steals.py"], spec, capture_output=True, text=True)
    assert done.stdout.strip() in ("-1", str([False] * 20)), done.stderr


def test_no_end_of_patience_is_a_timeout_too() -> None:
    assert nsbox.popen(["true"]).wait(float("inf")) == 0
    assert nsbox.run(["true"], timeout=1e10).returncode == 0


def test_input_that_comes_too_late_is_refused_as_by_subprocess() -> None:
    with nsbox.popen(["sleep", "1000"], stdin=nsbox.PIPE, stdout=nsbox.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.05)
        with pytest.raises(ValueError, match="after starting"):
            process.communicate(input=b"late", timeout=1)


def test_a_pool_that_is_closed_is_not_waited_for() -> None:
    pool = Pool(size=1)
    assert pool.fill(60)
    pool.close()
    assert not pool.fill()


def test_a_pool_can_be_closed_by_a_handler_wherever_it_comes() -> None:
    for _ in range(20):
        pool = Pool(size=2)
        signal.signal(signal.SIGALRM, lambda *_, pool=pool: pool.close())
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        try:
            for _ in range(5):
                assert pool.run(["true"]).returncode == 0
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        pool.close()


@contextlib.contextmanager
def rung(begun: Callable[[], object]) -> Iterator[None]:
    """Have SIGALRM come to this thread, the main one, as soon as something has begun."""
    given_up = threading.Event()

    def ring() -> None:
        until(lambda: begun() or given_up.is_set())
        if not given_up.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    thread = threading.Thread(target=ring)
    thread.start()
    try:
        yield
    finally:
        given_up.set()
        thread.join()


def test_one_that_is_interrupted_ends_all_that_a_box_of_a_pool_has_started(
    root: None, tmp_path: Path
) -> None:
    """Without a pid namespace its first process ends them, which takes it a moment."""
    script = "for i in 1 2; do setsid sh -c 'echo $$; exec sleep 1000' & done; sleep 1000"

    class RungError(Exception):
        pass

    def ring(*_: object) -> None:
        raise RungError

    started = tmp_path / "started"
    started.touch()
    box = BoxSpec(
        namespaces=HOST_PIDS, rootfs=RootFS.system().with_mounts(Mount.bind(tmp_path, "/mnt"))
    )
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with Pool(box, size=1) as pool:
            both = rung(lambda: started.read_text().count("\n") == 2)
            with pytest.raises(RungError), both:
                pool.run(["sh", "-c", f"exec >/mnt/started; {script}"])
            pids = started.read_text().split()
            assert len(pids) == 2
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("by_pool", [False, True])
def test_an_os_error_of_a_signal_handlers_ends_a_run_and_does_not_begin_another(
    by_pool: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def ring(*_: object) -> None:
        raise TimeoutError

    command = ["sh", "-c", "echo ran; exec sleep 1000"]
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with Pool(size=1) as pool:
            said = rung(lambda: os.fstat(1).st_size)  # a file, where it is captured
            with pytest.raises(TimeoutError), said:
                pool.run(command) if by_pool else nsbox.run(command)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert capfd.readouterr().out == "ran\n"


@pytest.mark.parametrize("by_pool", [False, True])
def test_a_signal_that_comes_while_a_command_is_begun_is_not_heard_at_its_end_alone(
    by_pool: bool,
) -> None:
    """It interrupts nothing that the call waits for, if it comes before that."""

    class RungError(Exception):
        pass

    def ring(*_: object) -> None:
        raise RungError

    moments = random.Random(1)
    for _ in range(3):  # the host is looked at before the kernel has a signal to be heard
        nsbox.run(["true"])
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with Pool(size=1) as pool:

            def be_interrupted(command: list[str]) -> None:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-4, 4e-3))
                pool.run(command) if by_pool else nsbox.run(command)

            for _ in range(100):
                assert pool.fill(60)
                began = time.monotonic()
                with pytest.raises(RungError):
                    be_interrupted(["sleep", "60"])
                assert time.monotonic() - began < 50
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("later", [0.0001, 0.0005, 0.002])
def test_a_second_signal_while_a_box_is_ended_leaves_no_group(later: float) -> None:
    """The check after each test looks for groups."""
    if not nsbox.probe().cgroups.writable:
        pytest.skip(f"needs cgroups: {nsbox.probe().cgroups.reason}")

    rung = []

    def ring(*_: object) -> None:
        rung.append(1)
        if len(rung) == 1:
            signal.setitimer(signal.ITIMER_REAL, later)
        raise KeyboardInterrupt

    spec = BoxSpec(resources=Resources(pids_max=32))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            nsbox.run(["sleep", "1000"], spec)
        time.sleep(0.2)
    except KeyboardInterrupt:
        pass  # the second one came after the end
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(rung) == 2


@pytest.mark.parametrize("by_pool", [False, True])
def test_one_that_is_interrupted_has_no_file_of_a_group_open(by_pool: bool) -> None:
    """The check after each test looks for descriptors."""
    if not nsbox.probe().cgroups.writable or "memory" not in nsbox.subsystems():
        pytest.skip("needs cgroups to write to, with memory among them")

    def ring(*_: object) -> None:
        raise KeyboardInterrupt

    spec = BoxSpec(resources=Resources(memory_max="64M"))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with Pool(spec, size=1) as pool:

            def be_interrupted(command: list[str]) -> None:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                pool.run(command) if by_pool else nsbox.run(command, spec)

            with pytest.raises(KeyboardInterrupt):
                be_interrupted(["sleep", "1000"])
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_without_standard_streams_finds_none_of_its_numbers_taken() -> None:
    """It will give these numbers to others, by dup2(2), and would close what is kept under them."""
    script = """
import os, sys
report = os.dup(1)
for number in range(3):
    os.close(number)
import nsbox
for _ in range(3):
    assert nsbox.run(["true"]).returncode == 0
with nsbox.Pool(size=1) as pool:
    assert pool.fill(60)
    taken = [number for number in range(3) if os.path.lexists(f"/proc/self/fd/{number}")]
    listed = [f"{number} {os.readlink(f'/proc/self/fd/{number}')}" for number in taken]
os.write(report, ", ".join(listed).encode())
"""
    assert run_afresh(script) == ""


def test_one_whose_group_takes_no_more_tasks_is_told_so(root: None) -> None:
    """The kernel has written the number of a pidfd by then, which is nobody's."""
    script = """
import errno, os
import nsbox
nsbox.run(["true"])
with nsbox.Cgroup.create(f"nsbox-{os.getpid()}-full", subsystems=["pids"]) as group:
    group.attach(os.getpid())
    group.set(nsbox.Resources(pids_max=1))
    before = set(os.listdir("/proc/self/fd"))
    for start in (nsbox.run, nsbox.popen):
        try:
            start(["true"])
        except nsbox.StepError as error:
            assert (error.errno, error.step.name) == (errno.EAGAIN, "clone3"), error
            del error
        else:
            raise AssertionError("it was started")
    assert set(os.listdir("/proc/self/fd")) <= before
"""
    assert run_afresh(script) == ""
