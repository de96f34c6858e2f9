"""Being in a namespace: the calling thread for a while, or a thread of its own."""

import gc
import os
import socket
import subprocess
import sys
import threading
import traceback
import weakref

import pytest

from nsbox import Namespace, NamespaceType, UnsupportedError

pytestmark = pytest.mark.usefixtures("root")
BY_A_THREAD = (
    NamespaceType.CGROUP,
    NamespaceType.IPC,
    NamespaceType.NET,
    NamespaceType.UTS,
)
NEVER = (NamespaceType.USER, NamespaceType.TIME)


def where(kind, tid="thread-self"):
    of_children = "_for_children" if kind is NamespaceType.PID else ""
    folder = "/proc/thread-self" if tid == "thread-self" else f"/proc/self/task/{tid}"
    return os.readlink(f"{folder}/ns/{kind.proc_name}{of_children}")


@pytest.fixture
def other():
    """Another thread of this process, which has nothing to do with it all."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    yield thread.native_id
    done.set()
    thread.join()


@pytest.mark.parametrize("kind", [*BY_A_THREAD, NamespaceType.PID], ids=lambda kind: kind.proc_name)
def test_one_thread_enters_and_comes_back(kind, other):
    before = where(kind)
    with Namespace.create(kind) as made:
        with made.entered() as entered:
            assert entered is made
            assert where(kind) == str(made)
            assert where(kind, other) == before
        assert where(kind) == before
        with pytest.raises(KeyError), made.entered():
            raise KeyError
        assert where(kind) == before


@pytest.mark.parametrize("kind", [*BY_A_THREAD, NamespaceType.PID], ids=lambda kind: kind.proc_name)
def test_one_entered_within_another_leads_back_to_that(kind):
    before = where(kind)
    with Namespace.create(kind) as outer, Namespace.create(kind) as inner:
        with outer.entered():
            with inner.entered(), inner.entered():
                assert where(kind) == str(inner)
            assert where(kind) == str(outer)
        assert where(kind) == before


@pytest.mark.parametrize("kind", BY_A_THREAD, ids=lambda kind: kind.proc_name)
def test_a_thread_that_is_there_already_may_enter_where_it_is(kind):
    with Namespace.current(kind) as here, here.entered():
        assert where(kind) == str(here)


def test_what_is_done_inside_is_done_to_that_namespace():
    name = socket.gethostname()
    with Namespace.create(NamespaceType.UTS) as made:
        with made.entered():
            socket.sethostname("island")
            inside = subprocess.run(["hostname"], stdout=subprocess.PIPE, check=True)
        assert inside.stdout == b"island\n"
        assert socket.gethostname() == name
        assert made.call(socket.gethostname) == "island"


def test_a_socket_stays_in_the_namespace_that_it_was_opened_in():
    with Namespace.create(NamespaceType.NET) as made:
        with made.entered():
            server = socket.create_server(("127.0.0.1", 0))
        with server:
            port = server.getsockname()[1]
            made.call(socket.create_connection, ("127.0.0.1", port), timeout=5).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)


def test_processes_started_meanwhile_are_in_the_pid_namespace_and_threads_are_not_started():
    command = ["sh", "-c", "echo $$"]
    with Namespace.create(NamespaceType.PID) as made:
        with made.entered():
            inside = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            assert os.getpid() == int(os.readlink("/proc/self"))
            with pytest.raises(RuntimeError, match="thread"):
                threading.Thread(target=int).start()
        threading.Thread(target=int).start()
        assert int(inside.stdout) < 10
        assert int(made.call(subprocess.check_output, command)) < 10


def test_a_pid_namespace_without_its_first_process_takes_nobody_and_lets_the_thread_go():
    with Namespace.create(NamespaceType.PID) as made:
        (keeper,) = made.pids()
        os.kill(keeper, 9)
        with Namespace.current(NamespaceType.PID) as here, made.entered():
            os.waitid(os.P_PIDFD, pidfd := os.pidfd_open(keeper), os.WEXITED | os.WNOWAIT)
            os.close(pidfd)
            with pytest.raises(OSError, match="Cannot allocate memory"):
                subprocess.run(["true"], check=False)
        assert where(NamespaceType.PID) == str(here)


@pytest.mark.parametrize("kind", NEVER, ids=lambda kind: kind.proc_name)
def test_kinds_that_no_thread_can_enter_are_refused_with_the_reason(kind):
    with Namespace.create(kind) as made:
        for enter in (made.entered().__enter__, lambda: made.call(os.getpid)):
            with pytest.raises(UnsupportedError, match="a process with threads cannot change"):
                enter()


def test_a_mount_namespace_is_for_call_because_threads_share_a_root():
    mounts = Namespace.current(NamespaceType.MNT)
    with pytest.raises(UnsupportedError, match=r"use call\(\)"):
        mounts.entered().__enter__()


def test_a_call_into_a_mount_namespace_moves_no_other_thread(tmp_path, other):
    def mount_and_look():
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
        (tmp_path / "inside").touch()
        return where(NamespaceType.MNT), os.getcwd(), os.listdir(tmp_path)

    before = [os.readlink(f"/proc/self/task/{other}/{link}") for link in ("cwd", "root")]
    folder = os.getcwd()
    with Namespace.create(NamespaceType.MNT) as made:
        assert made.call(mount_and_look) == (str(made), "/", ["inside"])
        assert made.call(os.listdir, tmp_path) == ["inside"]
        assert os.listdir(tmp_path) == []
        assert where(NamespaceType.MNT, other) == where(NamespaceType.MNT) != str(made)
    assert before == [os.readlink(f"/proc/self/task/{other}/{link}") for link in ("cwd", "root")]
    assert os.getcwd() == folder


def test_what_a_called_function_raises_is_raised_with_its_traceback():
    def deep():
        raise KeyError("lost")

    with Namespace.create(NamespaceType.UTS) as made:
        with pytest.raises(KeyError, match="lost") as caught:
            made.call(deep)
        assert "deep" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        with pytest.raises(SystemExit):
            made.call(sys.exit, 3)


def test_a_call_passes_arguments_and_returns_what_is_returned():
    thing = object()
    with Namespace.create(NamespaceType.UTS) as made:
        assert made.call(lambda *args, **more: (args, more), 1, two=2) == ((1,), {"two": 2})
        assert made.call(lambda: thing) is thing


def test_a_failed_call_leaves_no_cycle_that_keeps_its_frames_alive():
    class Thing:
        pass

    def fail(thing):
        raise KeyError

    thing = Thing()
    kept = weakref.ref(thing)
    gc.disable()
    try:
        with Namespace.create(NamespaceType.UTS) as made:
            with pytest.raises(KeyError) as caught:
                made.call(fail, thing)
            del thing, caught
            assert kept() is None
    finally:
        gc.enable()


def test_who_leaves_what_another_thread_has_entered_is_told():
    failure = []
    with Namespace.create(NamespaceType.UTS) as made:
        context = made.entered()

        def leave():
            try:
                context.__exit__(None, None, None)
            except RuntimeError as error:
                failure.append(error)

        def enter_and_have_it_left():
            context.__enter__()
            leaver = threading.Thread(target=leave)
            leaver.start()
            leaver.join()

        thread = threading.Thread(target=enter_and_have_it_left)
        thread.start()
        thread.join()
    assert "was entered by another thread, which is in it still" in str(failure.pop())
    assert where(NamespaceType.UTS) != str(made)


def test_a_refusal_of_the_kernel_names_setns_and_leaves_the_thread_where_it_was():
    """A thread without CAP_SYS_ADMIN, in a program of its own: capabilities do not come back."""
    script = """
import os, nsbox
made = nsbox.Namespace.create(nsbox.NamespaceType.UTS)
before = os.readlink("/proc/thread-self/ns/uts")
os.setresuid(65534, 65534, 65534)
try:
    with made.entered():
        print("entered")
except nsbox.StepError as error:
    print(isinstance(error, PermissionError), error.step.name, error.errno)
    print(error.hint)
assert os.readlink("/proc/thread-self/ns/uts") == before
made.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    first, hint = done.stdout.splitlines()
    assert first == "True setns 1", done.stderr
    assert "CAP_SYS_ADMIN" in hint


def test_the_dumpable_flag_of_the_caller_is_as_it_was():
    """Who is not dumpable does not own its own files in /proc: PR_SET_DUMPABLE(2const)."""
    script = """
import ctypes, os
from nsbox import Namespace, NamespaceType
os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1)
for kind in NamespaceType:
    Namespace.create(kind).close()
    assert os.stat("/proc/self/maps").st_uid == 65534, kind
"""
    subprocess.run([sys.executable, "-c", script], check=True)
