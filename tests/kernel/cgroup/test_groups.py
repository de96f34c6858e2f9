"""Groups live: made, found, filled, changed and removed, whatever the version."""

import contextlib
import gc
import os
import pickle
import threading
import warnings
from pathlib import Path

import pytest
from groups import groups_named

import nsbox
from nsbox import Cgroup, IOMax, NsboxError, Resources, StepError, Task, UnsupportedError

pytestmark = pytest.mark.cgroups

MiB = 1 << 20
NAME = f"nsbox-{os.getpid()}-other"


@pytest.fixture
def sleeper(start):
    return start("sleep 60")


def apart() -> bool:
    found = nsbox.subsystems()
    return found["memory"].hierarchy != found["cpu"].hierarchy


def left() -> list[Path]:
    return groups_named(NAME)


def test_limits_are_read_back_from_the_kernel(lab):
    web = lab.child("web", Resources(memory_max=64 * MiB, cpu_max=0.5, pids_max=32))
    read = web.resources
    assert (read.memory_max, read.cpu_max, read.pids_max) == (64 * MiB, 0.5, 32)
    web.set(Resources(memory_max="128M", cpu_max="max", cpu_weight=300))
    read = web.resources
    assert (read.memory_max, read.cpu_max, read.pids_max) == (128 * MiB, "max", 32)
    assert read.cpu_weight == 300
    again = web.resources
    assert again == read


def test_the_tree_above_and_below(lab):
    a, b = lab.child("a"), lab.child("b")
    c = a.child("c")
    assert [group.name for group in lab.children] == ["a", "b"]
    assert [group.name for group in lab.walk()] == [lab.name, "a", "c", "b"]
    assert [group.depth - lab.depth for group in lab.walk()] == [0, 1, 2, 1]
    assert c.parent == a
    assert a.parent == b.parent == lab
    assert c.path == f"{lab.path}/a/c"
    assert Cgroup.open(f"{lab.name}/a/c") == c
    assert Cgroup.open(next(iter(c.directories.values()))) == c
    assert {path.name for path in c.directories.values()} == {"c"}
    c.remove()
    assert not c.exists
    assert [group.name for group in lab.walk()] == [lab.name, "a", "b"]


def test_a_task_is_in_one_group_of_each_hierarchy(lab, sleeper):
    web, db = lab.child("web"), lab.child("db")
    task = Task(sleeper.pid)
    web.attach(task)
    assert sleeper.pid in web.pids
    assert sleeper.pid in web.threads
    assert task.cgroups["memory"] == web
    assert task.cgroups["pids"] == web
    task.attach(db)
    assert sleeper.pid not in web.pids
    assert task.cgroups["memory"] == db
    assert Cgroup.of(task) == db
    assert Cgroup.of(sleeper.pid, "cpu") == db


def test_a_task_is_in_two_groups_at_once_where_subsystems_are_apart(lab, sleeper):
    web, db = lab.child("web"), lab.child("db")
    task = Task(sleeper.pid)
    db.attach(task)
    if apart():
        web.attach(task, subsystems={"cpu"})
        assert task.cgroups["cpu"] == web
    else:
        with pytest.raises(UnsupportedError, match="memory, pids"):
            web.attach(task, subsystems={"cpu"})
        assert task.cgroups["cpu"] == db
    assert task.cgroups["memory"] == db
    web.attach(task, subsystems={"cpu", "memory", "pids"})
    assert task.cgroups["memory"] == web
    with pytest.raises(UnsupportedError, match="no-such"):
        web.attach(task, subsystems={"no-such"})


def test_attaching_what_is_not_there_moves_nothing(lab):
    with pytest.raises(ProcessLookupError):
        lab.attach(4_000_000)
    for pid in (0, -1):
        with pytest.raises(ValueError, match="pid"):
            lab.attach(pid)


def test_a_group_of_v2_that_hands_down_takes_no_process(lab, sleeper):
    lab.child("web")
    if apart():
        lab.attach(sleeper.pid)  # v1 has no such rule
        assert sleeper.pid in lab.pids
    else:
        with pytest.raises(UnsupportedError, match="attach to a child"):
            lab.attach(sleeper.pid)


def test_names_that_cannot_be(lab):
    for name in ("", ".", "..", "a/b", "a\n", "a\0", "x" * 256):
        with pytest.raises(ValueError, match="name"):
            lab.child(name)


def test_a_name_that_is_taken_is_an_error_and_the_first_stays(lab):
    web = lab.child("web")
    with pytest.raises(FileExistsError) as caught:
        lab.child("web")
    assert isinstance(caught.value, StepError)
    assert caught.value.step.name == "mkdir"
    assert web.exists


def test_a_failure_in_the_middle_leaves_nothing(lab):
    with pytest.raises(NsboxError):
        Cgroup.create(NAME, Resources(pids_max=5, cpuset_cpus={1023}))
    assert not left()
    # The first hierarchies are done when the last one refuses: a folder is in the way there.
    last = list(lab.directories)[-1]
    blocker = lab.directories[last].parent / NAME
    blocker.mkdir()
    try:
        with pytest.raises(FileExistsError):
            Cgroup.create(NAME, subsystems={"memory", "cpu", "pids"})
        assert left() == [blocker]
    finally:
        blocker.rmdir()


def test_limits_change_all_or_none(lab):
    web = lab.child("web", Resources(memory_max=64 * MiB, pids_max=10))
    before = web.resources
    folder = next(path for h, path in web.directories.items() if "pids" in h.subsystems)
    taken = Resources(pids_max=20, memory_max=4 << 60)  # more than any counter holds on v1
    with contextlib.suppress(NsboxError):
        web.set(taken)
        web.set(before)
    assert web.resources.pids_max == before.pids_max
    assert (folder / "pids.max").read_text() == "10\n"


REFUSED = {"cpu_max": 0.5, "cpu_max_burst": 10_000_000}  # more than the quota


@pytest.mark.parametrize("memory", [32 * MiB, 128 * MiB])
def test_what_was_changed_before_a_refusal_is_put_back(lab, memory):
    web = lab.child("web", Resources(memory_max=64 * MiB, memory_swap_max=0, cpu_weight=50))
    before = web.resources
    if before.cpu_max_burst is None:
        pytest.skip("needs cpu.max.burst (Linux 5.14)")
    with pytest.raises(OSError, match="burst"):
        web.set(Resources(memory_max=memory, **REFUSED))
    after = web.resources
    for field in ("memory_max", "memory_swap_max", "cpu_max", "cpu_max_burst", "cpu_weight"):
        assert getattr(after, field) == getattr(before, field), field


def test_a_device_without_a_limit_has_none_after_a_refusal(lab):
    disk = next(iter(Path("/sys/block").glob("vd*")), None)
    if disk is None:
        pytest.skip("needs a disk of virtio's")
    try:
        web = Cgroup.create(NAME, subsystems={"io"})
    except NsboxError as error:
        pytest.skip(f"needs the io controller: {error}")
    with web:
        before = web.resources.io_max
        device = (disk / "dev").read_text().strip()
        with pytest.raises(OSError, match=r"[Nn]o such device"):
            web.set(Resources(io_max={device: IOMax(rbps=MiB), "0:77": IOMax(rbps=MiB)}))
        assert web.resources.io_max == before


def test_an_idle_group_is_given_a_weight_again(lab):
    web = lab.child("web", subsystems={"cpu"})
    if web.resources.cpu_idle is None:
        pytest.skip("needs cpu.idle (Linux 5.15)")
    web.set(Resources(cpu_idle=True))
    assert web.resources.cpu_weight is None
    web.set(Resources(cpu_idle=False, cpu_weight=50))
    assert (web.resources.cpu_idle, web.resources.cpu_weight) == (False, 50)


@pytest.mark.parametrize("most", ["0", "4194304"])
def test_the_ends_of_what_the_kernel_takes_are_read_back_and_changed(lab, most):
    web = lab.child("web")
    folder = next(path for h, path in web.directories.items() if "pids" in h.subsystems)
    (folder / "pids.max").write_text(most)
    assert web.resources.pids_max == int(most)
    web.set(Resources(memory_max=0))
    assert web.resources.memory_max == 0
    web.set(Resources(pids_max=10, memory_max=64 * MiB))
    assert web.resources.pids_max == 10


def test_what_a_group_is_not_for_is_said(lab):
    web = lab.child("web")
    with pytest.raises(UnsupportedError, match="cpuset_cpus"):
        web.set(Resources(pids_max=5, cpuset_cpus={0}))
    assert web.resources.pids_max == "max"
    with pytest.raises(UnsupportedError, match="cpuset_cpus"):
        web.child("below", Resources(cpuset_cpus={0}))
    with pytest.raises(UnsupportedError, match="no-such"):
        Cgroup.create(NAME, subsystems={"no-such"})
    assert not left()


def test_what_a_version_cannot_do_is_refused_before_anything_is_made(lab):
    version = nsbox.subsystems()["memory"].hierarchy.version
    wish = Resources(memory_high="1M") if version == 1 else Resources(net_cls_classid=5)
    with pytest.raises(UnsupportedError, match=r"memory_high|net_cls_classid"):
        Cgroup.create(NAME, wish)
    assert not left()


def test_all_subsystems_are_what_a_group_is_for_if_none_are_named(lab):
    with Cgroup.create(NAME) as group:
        assert {"memory", "cpu", "pids"} <= group.subsystems
        told = group.stats()
        assert {"memory", "cpu", "pids"} <= told.parts.keys()
    assert not left()


def test_the_end_of_the_with_block_ends_what_is_in_it(lab, sleeper):
    with Cgroup.create(NAME, subsystems={"pids"}) as group:
        group.child("deep").child("deeper").attach(sleeper.pid)
    assert sleeper.wait(timeout=60) == -9
    assert not left()
    group.close()


def test_the_caller_is_moved_back_and_never_ended(lab, sleeper):
    before = Path("/proc/self/cgroup").read_text()
    with Cgroup.create(NAME, subsystems={"pids", "memory"}) as group:
        child = group.child("in")
        child.attach(os.getpid())
        child.attach(sleeper.pid)
        assert os.getpid() in child.pids
        assert Task.current().cgroups["pids"] == child
        with pytest.raises(ValueError, match="calling process"):
            group.freeze()
        group.kill()
        assert sleeper.wait(timeout=60) == -9
        assert child.pids == {os.getpid()}
    assert Path("/proc/self/cgroup").read_text() == before
    assert not left()


def test_single_threads_where_the_version_takes_them(lab):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        if nsbox.subsystems()["pids"].hierarchy.version == 1:
            web = lab.child("web")
            web.attach_thread(thread.native_id, subsystems={"pids"})
            assert web.threads == {thread.native_id}
            Cgroup.of(os.getpid(), "pids").attach_thread(thread.native_id)
            assert not web.threads
            if web.type is None:
                with pytest.raises(UnsupportedError, match="every group"):
                    web.make_threaded()
        else:
            with Cgroup.create(NAME, subsystems={"pids", "cpu"}) as domain:
                web = domain.child("threads")
                assert web.type == "domain"
                with pytest.raises(UnsupportedError, match="Threads"):
                    web.attach_thread(thread.native_id)
                web.make_threaded()
                assert web.type == "threaded"
                assert domain.type == "domain threaded"
                domain.attach(os.getpid())
                web.attach_thread(thread.native_id)
                assert web.threads == {thread.native_id}
    finally:
        stop.set()
        thread.join()


def test_a_forgotten_group_is_told_of_and_gone(lab, sleeper):
    group = Cgroup.create(NAME, subsystems={"pids"})
    group.attach(sleeper.pid)
    with pytest.warns(ResourceWarning, match=NAME):
        del group
    assert sleeper.wait(timeout=60) == -9
    assert not left()


def test_handles_that_only_look_are_forgotten_without_a_word(lab):
    lab.child("web")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = Cgroup.open(lab.name), lab.children, lab.parent, Cgroup.of(os.getpid())
        Cgroup.open(lab.name).close()
        gc.collect()
    assert lab.exists


def test_a_forked_copy_does_not_end_what_its_parent_made(lab, sleeper):
    lab.child("web").attach(sleeper.pid)
    pid = os.fork()
    if pid == 0:
        lab.close()
        lab.__del__()
        os._exit(0)
    os.waitpid(pid, 0)
    assert sleeper.poll() is None


def test_handles_refuse_to_be_pickled(lab):
    with pytest.raises(TypeError, match="Resources"):
        pickle.dumps(lab)
    with pytest.raises(TypeError, match="pid"):
        pickle.dumps(Task.current())


def test_the_picture(lab, start):
    web = lab.child("web", Resources(memory_max="64M"))
    lab.child("db")
    process = start("sleep 60")
    web.attach(process.pid)
    lines = lab.tree().splitlines()
    assert lines[0].startswith(lab.name)
    assert lines[1].startswith("├── db")
    assert lines[2].startswith("└── web   memory ")
    assert "of 64.0 MiB" in lines[2]
    assert lines[3].strip() == f"└─ {process.pid} sh"
    assert repr(web).startswith(f"<Cgroup {web.path} {{")


def test_named_hierarchies_are_asked_for_by_name(lab):
    named = [h for h in nsbox.hierarchies() if h.name is not None]
    if not named:
        pytest.skip("needs a named hierarchy of cgroup v1, as systemd mounts one")
    with Cgroup.create(NAME, subsystems={f"name={named[0].name}"}) as group:
        assert named[0] in group.directories
        assert group.subsystems >= {f"name={named[0].name}"}
    assert not left()


def test_looking_changes_nothing():
    def listing():  # others may be making boxes of theirs
        return [
            (h, sorted(name for name in os.listdir(h.mountpoint) if not is_anothers(name)))
            for h in nsbox.hierarchies()
        ]

    def is_anothers(name):
        return name.startswith("nsbox-") and not name.startswith(f"nsbox-{os.getpid()}-")

    before = listing()
    for group in Task.current().cgroups.values():
        group.stats(), group.resources, group.children, group.pids
    assert listing() == before
