"""Tasks: held by a pidfd, so that a pid that is used again is never taken for them."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import warnings

import pytest

import nsbox
from nsbox import Task, UnsupportedError

pytestmark = pytest.mark.cgroups


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_the_calling_process():
    me = Task.current()
    assert me.pid == os.getpid()
    assert me.alive
    assert not me.is_thread
    assert threading.get_native_id() in me.threads
    assert me == Task(os.getpid())
    assert len({me, Task.current()}) == 1
    assert str(os.getpid()) in repr(me)
    me.close()
    me.close()
    with pytest.raises(ValueError, match="closed"):
        me.fileno()


def test_a_child_is_signalled_waited_for_and_left_to_its_starter(sleeper):
    with Task(sleeper.pid) as task:
        assert task in Task.current().children
        assert not select.select([task], [], [], 0)[0]
        with pytest.raises(subprocess.TimeoutExpired):
            task.wait(timeout=0.05)
        task.signal(signal.SIGTERM)
        assert task.wait(timeout=60) == -signal.SIGTERM
        assert not task.alive  # though nobody has waited for it
        assert select.select([task], [], [], 0)[0]
        assert sleeper.wait() == -signal.SIGTERM
        assert task.wait() is None
        with pytest.raises(ProcessLookupError):
            task.signal(signal.SIGTERM)
        with pytest.raises(ProcessLookupError):
            _ = task.cgroups
        assert task.threads == ()
    assert not task.alive  # known, even when closed


def test_exit_codes():
    with subprocess.Popen(["sh", "-c", "exit 7"]) as process:
        assert Task(process.pid).wait(60) == 7


def test_no_such_task():
    with pytest.raises(ProcessLookupError):
        Task(4_000_000)
    for pid in (0, -1, True, "1"):
        with pytest.raises(ValueError, match="pid"):
            Task(pid)


@pytest.mark.guest
def test_its_group_in_each_hierarchy():
    groups = Task.current().cgroups
    assert set(nsbox.subsystems()) <= set(groups)
    for name, subsystem in nsbox.subsystems().items():
        assert list(groups[name].directories) == [subsystem.hierarchy]
    if any(h.version == 2 for h in nsbox.hierarchies()):
        assert "unified" in groups


@pytest.mark.guest
def test_a_thread_of_its_own():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        with Task(thread.native_id) as task:
            assert task.is_thread
            assert task.alive
    except UnsupportedError as error:
        pytest.skip(str(error))
    finally:
        stop.set()
        thread.join()


def test_a_forgotten_task_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Task.current()
        gc.collect()


def test_importing_and_looking_from_a_fresh_interpreter():
    script = (
        "import nsbox; print(len(nsbox.hierarchies()), nsbox.Task.current().cgroups.keys() > set())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[1] == "True"
