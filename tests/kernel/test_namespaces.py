"""Namespaces as handles: made, told apart, related and listed, as the kernel's own files tell it."""

import copy
import gc
import os
import pickle
import subprocess
import threading
import time
import warnings
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, Namespace, NamespaceType

pytestmark = pytest.mark.usefixtures("root")
every_kind = pytest.mark.parametrize("kind", NamespaceType, ids=lambda kind: kind.proc_name)
NESTED = (NamespaceType.PID, NamespaceType.USER)


def here(kind):
    return os.readlink(f"/proc/thread-self/ns/{kind.proc_name}")


@every_kind
def test_every_kind_is_made_and_the_caller_stays(kind):
    before = here(kind)
    with Namespace.create(kind) as made:
        assert here(kind) == before
        assert str(made) == os.readlink(f"/proc/self/fd/{made.fileno()}") != before
        assert made.type is kind


@every_kind
def test_every_kind_is_made_beside_other_threads(kind):
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with Namespace.create(kind) as made:
            assert made != Namespace.current(kind)
            assert os.readlink(f"/proc/self/task/{other.native_id}/ns/{kind.proc_name}") == here(
                kind
            )
    finally:
        done.set()
        other.join()


@every_kind
def test_two_handles_of_one_namespace_are_equal_and_hash_alike(kind):
    with Namespace.create(kind) as made, Namespace.create(kind) as other:
        with Namespace.open(made.fileno()) as again:
            assert again == made
            assert hash(again) == hash(made)
            assert again.fileno() != made.fileno()
        assert made != other
        assert made != str(made)
        assert len({made, other, Namespace.current(kind)}) == 3
        status = os.fstat(made.fileno())
        assert (made.device, made.inode) == (status.st_dev, status.st_ino)


@every_kind
def test_the_namespace_of_a_task_is_the_one_that_proc_shows(kind):
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert str(Namespace.of(process.pid, kind)) == here(kind)
            assert Namespace.of(process, kind) == Namespace.current(kind)
        finally:
            process.kill()
    with pytest.raises(FileNotFoundError):
        Namespace.of(process.pid, kind)


def test_the_current_namespace_is_the_threads_and_not_the_first_threads():
    with Namespace.create(NamespaceType.UTS) as made:
        assert made.call(Namespace.current, NamespaceType.UTS) == made
        assert Namespace.of(os.getpid(), NamespaceType.UTS) != made


@every_kind
def test_who_owns_a_namespace_and_what_it_is_in(kind):
    with Namespace.create(kind) as made:
        assert made.user_namespace == Namespace.current(NamespaceType.USER)
        assert made.owner_uid == os.geteuid()
        assert made.parent == (Namespace.current(kind) if kind in NESTED else None)


def test_what_is_above_the_first_namespaces_is_out_of_sight():
    first = Namespace.current(NamespaceType.USER)
    if first.inode != 0xEFFFFFFD:
        pytest.skip("needs the first user namespace, and this process is in a container's")
    with pytest.raises(PermissionError):
        _ = first.user_namespace
    assert first.parent is None
    assert first.owner_uid == 0
    here = Namespace.current(NamespaceType.PID)
    assert here.parent != here


def test_a_namespace_made_in_a_user_namespace_belongs_to_it():
    with Namespace.create(NamespaceType.USER) as user:
        namespaces = nsbox.ISOLATED | {NamespaceType.USER: user}
        with BoxSpec(namespaces=namespaces).start() as box:
            for kind in nsbox.ISOLATED:
                assert Namespace.of(box.pid, kind).user_namespace == user
            assert Namespace.of(box.pid, NamespaceType.PID).parent == Namespace.current(
                NamespaceType.PID
            )


@every_kind
def test_the_processes_in_a_namespace_are_those_that_lsns_counts(kind):
    with BoxSpec(namespaces=dict.fromkeys(NamespaceType, Choice.NEW)).start() as box:
        namespace = Namespace.of(box.pid, kind)
        assert namespace.pids() == (box.pid,)
        assert os.getpid() in Namespace.current(kind).pids()
        assert box.pid not in Namespace.current(kind).pids()
    assert namespace.pids() == ()


def test_a_pid_namespace_has_a_first_process_which_ends_with_the_handle():
    with Namespace.create(NamespaceType.PID) as made:
        (keeper,) = made.pids()
        assert keeper in [task.pid for task in nsbox.Task.current().children]
        with made.entered():
            subprocess.run(["sh", "-c", "sleep 60 &"], check=True)
        assert len(made.pids()) == 2
    with pytest.raises(FileNotFoundError):
        os.stat(f"/proc/{keeper}")


def test_the_loopback_of_a_net_namespace_is_up_and_its_mounts_are_private():
    with Namespace.create(NamespaceType.NET) as net:
        with net.entered():
            links = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, check=True)
        assert b"lo: <LOOPBACK,UP" in links.stdout
    with Namespace.create(NamespaceType.MNT) as mnt:
        mounts = mnt.call(Path("/proc/thread-self/mountinfo").read_text)
        assert "shared:" not in mounts
        assert len(mounts.splitlines()) > 1


def clocks():
    return [time.clock_gettime(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]


@pytest.mark.parametrize(("monotonic", "boottime"), [(0, 86400), (-1.5, 0), (3600.25, 7200)])
def test_the_clocks_of_a_time_namespace_are_set_off(monotonic, boottime):
    script = (
        "import time, sys; print(time.clock_gettime(time.CLOCK_MONOTONIC), "
        "time.clock_gettime(time.CLOCK_BOOTTIME), open('/proc/uptime').read().split()[0])"
    )
    with Namespace.create(NamespaceType.TIME, monotonic=monotonic, boottime=boottime) as made:
        spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.TIME: made})
        before = clocks()
        done = nsbox.run(["python3", "-c", script], spec, capture_output=True, text=True)
        after = clocks()
    inside = [float(word) for word in done.stdout.split()]
    assert before[0] <= inside[0] - monotonic <= after[0]
    assert before[1] <= inside[1] - boottime <= after[1]
    assert before[1] - 0.01 <= inside[2] - boottime <= after[1]  # of which it tells the hundredths


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        (NamespaceType.NET, {"monotonic": 1}, "monotonic"),
        (NamespaceType.UTS, {"boottime": -1}, "boottime"),
        (NamespaceType.TIME, {"boottime": 1e12}, "boottime"),
        (NamespaceType.TIME, {"monotonic": "1"}, "monotonic"),
        (NamespaceType.TIME, {"monotonic": float("nan")}, "monotonic"),
        (NamespaceType.UTS, {"id_map": IDMap.root()}, "id_map"),
        (NamespaceType.NET, {"id_map": IDMap.ranges([(0, 0, 9)])}, "id_map"),
    ],
)
def test_what_a_kind_has_not_is_refused_by_its_field(kind, arguments, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        Namespace.create(kind, **arguments)


def test_what_stands_for_no_namespace_is_not_opened(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "file", tmp_path / "fifo", "/dev/null", "/proc/self/status"):
        with pytest.raises(ValueError, match="stands for no namespace"):
            Namespace.open(path)
    with open(tmp_path / "file") as file, pytest.raises(ValueError, match="no namespace"):
        Namespace.open(file.fileno())
    with pytest.raises(FileNotFoundError):
        Namespace.open(tmp_path / "missing")
    with pytest.raises(OSError, match="Bad file descriptor"):
        Namespace.open(9999)


def test_a_handle_is_closed_once_and_says_so_afterwards():
    made = Namespace.create(NamespaceType.UTS)
    assert os.get_inheritable(made.fileno()) is False
    made.close()
    made.close()
    assert repr(made).endswith("closed>")
    for use in (made.fileno, made.entered().__enter__, lambda: made.call(os.getpid)):
        with pytest.raises(ValueError, match="is closed"):
            use()
    looked_at = Namespace.current(NamespaceType.UTS)
    looked_at.close()
    with pytest.raises(ValueError, match="is closed"):
        looked_at.fileno()


@every_kind
def test_a_forgotten_one_is_warned_of_and_let_go(kind):
    made = Namespace.create(kind)
    fd = made.fileno()
    with pytest.warns(ResourceWarning, match="was not closed"):
        del made
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_one_that_a_box_has_joined_is_warned_of_just_so():
    made = Namespace.create(NamespaceType.UTS)
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.UTS: made})
    nsbox.run(["true"], spec, check=True)
    del spec
    with pytest.warns(ResourceWarning, match="was not closed"):
        del made


def test_what_was_only_looked_at_goes_without_a_word():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Namespace.current(NamespaceType.NET)
        nsbox.namespaces()
        gc.collect()
    assert caught == []


def test_a_live_handle_is_not_copied_or_pickled():
    with Namespace.create(NamespaceType.UTS) as made:
        for spoil in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="live handle"):
                spoil(made)
