"""`nsbox.run` behaves as `subprocess.run` does: each claim is made of both."""

import collections
import ctypes
import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec, Choice, Mount, NamespaceType, Pool, Resources, RootFS, StepError

RUNNERS = [
    pytest.param(subprocess.run, id="subprocess"),
    pytest.param(nsbox.run, id="nsbox"),
    pytest.param(
        lambda *args, **kwargs: nsbox.run(
            *args,
            spec=BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.PID: Choice.HOST}),
            **kwargs,
        ),
        id="nsbox-host-pids",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="/proc of the host's pids needs root"),
    ),
]


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("code", [0, 1, 2, 7, 126, 127, 128, 137, 255])
def test_an_exit_code_is_the_return_code(run: Any, code: int) -> None:
    assert run(["sh", "-c", f"exit {code}"]).returncode == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "HUP", "USR1", "PIPE"])
def test_death_by_a_signal_is_a_negative_return_code(run: Any, name: str) -> None:
    done = run(["sh", "-c", f"ulimit -c 0; kill -{name} $$"])
    assert done.returncode == -getattr(signal, f"SIG{name}")


def test_output_and_errors_are_captured_apart(run: Any) -> None:
    done = run(["sh", "-c", "echo out; echo err >&2"], capture_output=True)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_nothing_is_captured_unless_asked(run: Any) -> None:
    done = run(["true"])
    assert (done.stdout, done.stderr) == (None, None)


def test_errors_can_go_where_the_output_goes(run: Any) -> None:
    script = ["sh", "-c", "echo out; echo err >&2"]
    done = run(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout == b"out\nerr\n"


def test_output_can_go_to_a_file_or_nowhere(run: Any, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        run(["echo", "kept"], stdout=file, stderr=subprocess.DEVNULL)
    assert (tmp_path / "out").read_bytes() == b"kept\n"
    fd = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        assert run(["cat"], stdin=fd, stdout=subprocess.PIPE).stdout == b"kept\n"
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 8 << 20])
def test_input_of_any_size_comes_back_from_cat(run: Any, size: int) -> None:
    data = os.urandom(1024) * (size // 1024) + os.urandom(size % 1024)
    assert run(["cat"], input=data, capture_output=True).stdout == data


def test_input_that_nobody_reads_is_no_error(run: Any) -> None:
    assert run(["true"], input=b"x" * (4 << 20)).returncode == 0


def test_text_is_decoded_with_universal_newlines(run: Any) -> None:
    done = run(
        ["printf", "a\\r\\nb\\rc\\n\\303\\244"], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout == "a\nb\nc\nä"
    done = run(["cat"], input="grüße", capture_output=True, encoding="latin-1")
    assert done.stdout == "grüße"
    done = run(["printf", "\\377"], capture_output=True, encoding="utf-8", errors="replace")
    assert done.stdout == "\ufffd"


def test_an_encoding_that_there_is_not_is_refused_and_nothing_stays_open() -> None:
    """Here subprocess raises as well, but leaves its pipes to the garbage collector."""
    with pytest.raises(LookupError):
        nsbox.run(["true"], capture_output=True, encoding="no-such-encoding")


def test_bytes_are_refused_where_text_is_expected(run: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        run(["cat"], input=b"bytes", capture_output=True, text=True)


def test_check_raises_with_all_that_is_known(run: Any) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=True, capture_output=True)
    assert caught.value.returncode == 3
    assert (caught.value.stdout, caught.value.stderr) == (b"out\n", b"err\n")


def test_a_timeout_ends_the_command_and_tells_what_was_read(run: Any) -> None:
    script = ["sh", "-c", "echo early; echo why >&2; exec sleep 60"]
    for timeout in (0.5, 5, 50):
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            run(script, capture_output=True, timeout=timeout)
        assert caught.value.timeout == timeout
        if caught.value.stderr:
            break  # else its time was over before it had said anything
    assert (caught.value.stdout, caught.value.stderr) == (b"early\n", b"why\n")


def test_arguments_may_be_text_bytes_and_paths(run: Any) -> None:
    done = run([Path("/bin/echo"), b"b\xff", "ü", Path("p")], capture_output=True)
    assert done.stdout == b"b\xff \xc3\xbc p\n"
    assert run("true").returncode == 0


def test_the_environment_is_what_was_given(run: Any) -> None:
    done = run(["/usr/bin/env"], env={"ONLY": "this"}, capture_output=True)
    assert done.stdout == b"ONLY=this\n"


def test_the_command_is_looked_for_on_the_given_path(run: Any) -> None:
    assert run(["true"], env={"PATH": "/nowhere:/usr/bin"}).returncode == 0
    with pytest.raises(FileNotFoundError):
        run(["true"], env={"PATH": "/nowhere"})


def test_the_working_folder_is_what_was_given(run: Any) -> None:
    assert run(["pwd"], cwd="/usr/lib", capture_output=True).stdout == b"/usr/lib\n"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["no-such-command"], FileNotFoundError),
        (["/no/such/command"], FileNotFoundError),
        (["/etc/passwd"], PermissionError),
        (["/usr"], PermissionError),
        (["/usr/bin/env/below"], NotADirectoryError),
        (["echo", "x" * (1 << 18)], OSError),
        (["nul\0byte"], ValueError),
        ([], (ValueError, IndexError)),
    ],
    ids=[
        "not-on-path",
        "no-file",
        "not-executable",
        "folder",
        "below-a-file",
        "too-long",
        "nul",
        "none",
    ],
)
def test_a_command_that_cannot_start_raises(run: Any, command: list[str], error: Any) -> None:
    with pytest.raises(error):
        run(command)


def test_a_file_that_is_no_program_is_exec_format_error(tmp_path: Path) -> None:
    program = tmp_path / "empty"
    program.write_bytes(b"no program")
    program.chmod(0o755)
    spec = BoxSpec(rootfs=nsbox.RootFS.system().with_mounts(nsbox.Mount.bind(program, "/program")))
    with pytest.raises(OSError, match="Exec format error") as caught:
        nsbox.run(["/program"], spec)
    assert isinstance(caught.value, nsbox.StepError)


@pytest.mark.parametrize(
    "wrong", [{"input": b"", "stdin": 0}, {"capture_output": True, "stdout": subprocess.PIPE}]
)
def test_contradictions_are_refused(run: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="may not"):
        run(["true"], **wrong)


def test_standard_streams_that_the_caller_has_closed_are_closed_in_the_box() -> None:
    script = (
        "import os, nsbox\n"
        "report = os.dup(1)\n"
        "os.closerange(0, 3)\n"
        "for number in range(2):\n"  # by then nsbox has descriptors of its own, kept
        "    command = ['readlink', *(f'/proc/self/fd/{n}' for n in range(3))]\n"
        "    done = nsbox.run(command, stdout=nsbox.PIPE)\n"
        "    os.write(report, done.stdout)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    shown = done.stdout.splitlines()
    assert len(shown) == 2
    assert all(line.startswith(b"pipe:") for line in shown)


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_descriptor_that_is_closed_is_no_stream(stream: str) -> None:
    closed = os.open(os.devnull, os.O_RDWR)
    os.close(closed)  # the lowest free number: what is opened next would get it
    with pytest.raises(OSError, match="Bad file descriptor"):
        nsbox.run(["true"], **{stream: closed})


def test_standard_error_goes_where_standard_output_does_though_an_exec_would_close_that() -> None:
    script = (
        "import os, nsbox, subprocess; os.set_inheritable(1, False)\n"
        "for run in subprocess.run, nsbox.run:\n"
        "    run(['sh', '-c', 'echo told >&2'], stderr=subprocess.STDOUT, check=True)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"told\ntold\n"


def test_a_standard_stream_that_an_exec_would_close_is_closed_in_the_box() -> None:
    script = "import os, nsbox; os.set_inheritable(0, False); nsbox.run(['ls', '/proc/self/fd'])"
    done = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"0", b"1", b"2"]  # 0 is the folder that ls reads


@pytest.mark.guest
def test_the_result_is_a_completed_process_with_usage() -> None:
    done = nsbox.run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    assert isinstance(done, subprocess.CompletedProcess)
    assert 0 < done.usage.cpu_seconds <= done.usage.wall_seconds * (os.cpu_count() or 1)
    assert done.usage.cpu_seconds == done.usage.user_seconds + done.usage.system_seconds
    assert "usage=" in repr(done)


def test_what_a_kept_plan_was_made_from_is_looked_at_each_time(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.write_text("one")
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(Mount.bind(shown, "/tmp/shown")))
    read = ["cat", "/tmp/shown"]
    for text in ("one", "two"):
        shown.write_text(text)
        assert nsbox.run(read, spec, capture_output=True, text=True).stdout == text
    shown.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        nsbox.run(read, spec)
    assert isinstance(caught.value, StepError)
    assert (caught.value.step.name, caught.value.filename) == ("open_tree", str(shown))
    shown.write_text("three")
    assert nsbox.run(read, spec, capture_output=True, text=True).stdout == "three"
    shown.unlink()
    shown.mkdir()
    (shown / "below").touch()
    done = nsbox.run(["ls", "/tmp/shown"], spec, capture_output=True, text=True)
    assert done.stdout == "below\n"


def test_a_caller_that_has_become_another_gets_a_plan_of_its_own(root: None) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            nsbox.run(["true"], check=True)
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, else its files in /proc are root's
            done = nsbox.run(["cat", "/proc/self/uid_map"], capture_output=True)
            status = int(done.stdout.split() != [b"0", b"65534", b"1"])
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


KEEP_THE_INTERPRETER = {"getpid", "fspath", "waitstatus_to_exitcode"}
"""And where a group is still in use, by a task that is not quite gone: ``rmdir``."""


@pytest.mark.parametrize(
    "resources", [Resources(), Resources(memory_max="64M", cpu_max=0.5, pids_max=20)]
)
@pytest.mark.parametrize(
    ("timeout", "wanted"), [(None, ["nsbox_run"]), (60, ["nsbox_launch", "nsbox_wait_end"])]
)
def test_a_run_gives_up_the_interpreter_for_its_start_and_its_end_alone(
    resources: Resources, timeout: float | None, wanted: list[str], root: None
) -> None:
    """And for both at once where nothing has to be done meanwhile."""
    if resources != Resources() and not nsbox.probe().cgroups.writable:
        pytest.skip(f"needs cgroups: {nsbox.probe().cgroups.reason}")
    spec = BoxSpec(resources=resources)
    for _ in range(3):  # the third is made by what is kept
        nsbox.run(["true"], spec, timeout=timeout)
    called = []

    def note(_: Any, event: str, function: Any) -> None:
        if event == "c_call" and (function.__module__ or "").startswith(("posix", "nsbox", "_io")):
            called.append(function.__name__)

    gc.collect()
    gc.disable()
    sys.setprofile(note)
    try:
        nsbox.run(["true"], spec, timeout=timeout)
    finally:
        sys.setprofile(None)
        gc.enable()
    calls = [name for name in called if name not in KEEP_THE_INTERPRETER]
    assert calls[: len(wanted)] == wanted
    assert set(calls[len(wanted) :]) <= ({"rmdir"} if resources != Resources() else set())


def test_a_caller_whose_working_folder_is_gone_runs_boxes_as_others_do(tmp_path: Path) -> None:
    script = (
        "import os, sys, nsbox\n"
        "os.rmdir(sys.argv[1])\n"
        "done = nsbox.run(['pwd'], capture_output=True, text=True, check=True)\n"
        "print(done.stdout, end='')\n"
    )
    folder = tmp_path / "gone"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, folder], cwd=folder, capture_output=True, check=False
    )
    assert done.stdout == b"/\n", done.stderr


def test_a_timeout_of_nothing_is_over_at_once() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        nsbox.run(["sleep", "1000"], timeout=0)


def test_what_is_asked_of_output_is_read_without_any() -> None:
    with pytest.raises(ValueError, match="output_max"):
        nsbox.run(["true"], output_max="zz")


@pytest.mark.parametrize("streams", [{}, {"capture_output": True}])
def test_a_fork_in_a_signal_handler_leaves_its_parents_box_alone(streams: dict[str, Any]) -> None:
    parent = os.getpid()
    forks = []

    def fork(*_: object) -> None:
        forks.append(os.fork())
        if forks[-1] == 0:
            raise SystemExit

    before = signal.signal(signal.SIGALRM, fork)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        done = nsbox.run(["sh", "-c", "sleep 0.5; exit 3"], **streams)
    except SystemExit:
        os._exit(0)
    finally:
        if os.getpid() != parent:
            os._exit(1)
        signal.signal(signal.SIGALRM, before)
    assert done.returncode == 3
    assert os.waitpid(forks[0], 0)[1] == 0


def test_what_is_no_argument_is_refused_whatever_ran_before() -> None:
    for _ in range(3):
        assert nsbox.run(["true"]).returncode == 0
    no_text: Any = [collections.UserString("true")]
    with pytest.raises(ValueError, match="args"):
        nsbox.run(no_text)
    with Pool(size=2) as pool:
        for _ in range(3):
            assert pool.run(["true"]).returncode == 0
        with pytest.raises(ValueError, match="args"):
            pool.run(no_text)


def test_of_equal_specs_that_are_made_anew_each_time_few_are_kept() -> None:
    made = [weakref.ref(spec) for spec in _run_anew(60)]
    gc.collect()
    assert sum(spec() is not None for spec in made) < 20


def _run_anew(times: int) -> Iterator[BoxSpec]:
    for _ in range(times):
        spec = BoxSpec(umask=0o27)
        assert nsbox.run(["true"], spec).returncode == 0
        yield spec
