"""Freezing, thawing and ending: all tasks of a tree, whatever they do, and never the caller."""

import os
import time

import pytest

from nsbox import Cgroup, Resources
from nsbox.cgroup import files

pytestmark = pytest.mark.cgroups


def ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[11])


def test_frozen_tasks_stand_still(lab, start):
    web = lab.child("web")
    process = start("while :; do :; done")
    web.attach(process.pid)
    process.stdin.close()
    lab.freeze()
    assert lab.frozen
    assert web.frozen  # by the group above
    before = ticks(process.pid)
    time.sleep(0.3)
    assert ticks(process.pid) == before
    lab.thaw()
    assert not lab.frozen
    deadline = time.monotonic() + 60
    while ticks(process.pid) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ticks(process.pid) > before


def test_frozen_tasks_are_ended(lab, start):
    web = lab.child("web")
    process = start("sleep 60")
    web.attach(process.pid)
    web.freeze()
    web.kill()
    assert process.wait(timeout=60) == -9
    web.thaw()


def test_an_empty_group_freezes_too(lab):
    lab.freeze()
    assert lab.frozen
    with pytest.raises(ValueError, match="frozen"):
        lab.attach(os.getpid())
    lab.thaw()
    lab.kill()


def test_a_group_that_goes_while_it_is_ended_is_ended(lab, monkeypatch):
    web = lab.child("web")
    if not any((folder / "cgroup.kill").exists() for folder in web.directories.values()):
        pytest.skip("needs cgroup.kill (v2, Linux 5.14)")
    written = []

    def write_too_late(path: str, value: str) -> None:
        with open(path, "wb", buffering=0) as file:
            web.remove()
            written.append(path)
            file.write(value.encode())

    monkeypatch.setattr(files, "write", write_too_late)
    web.kill()
    assert written
    assert not web.exists


def test_a_fork_bomb_is_ended(lab, start):
    web = lab.child("web", Resources(pids_max=60))
    process = start("f() { f | f & }; while :; do f; done")
    web.attach(process.pid)
    process.stdin.close()
    deadline = time.monotonic() + 60
    while not web.stats().pids.max_hits and time.monotonic() < deadline:
        time.sleep(0.02)
    assert web.stats().pids.max_hits
    lab.kill()
    assert process.wait(timeout=60) in (-9, 2)  # 2: a shell that could not fork has left
    for _ in range(5):  # none is left that could go on
        assert not lab.pids | web.pids
        time.sleep(0.02)


def test_all_of_the_tree_is_ended_and_nothing_else(lab, start):
    inside = [start("sleep 60") for _ in range(3)]
    outside = start("sleep 60")
    deep = lab.child("a").child("b")
    for process in inside:
        deep.attach(process.pid)
    lab.kill()
    assert [process.wait(timeout=60) for process in inside] == [-9, -9, -9]
    assert outside.poll() is None


def test_tasks_in_one_hierarchy_alone_are_ended_too(lab, start):
    hierarchies = lab.directories
    pids = next(h for h in hierarchies if "pids" in h.subsystems)
    if pids.version == 2:
        pytest.skip("needs subsystems in hierarchies of their own, as on cgroup v1")
    process = start("sleep 60")
    lab.attach(process.pid, subsystems={"pids"})
    lab.kill()
    assert process.wait(timeout=60) == -9


def test_groups_that_are_gone_can_be_ended_and_removed_again(lab):
    web = lab.child("web")
    again = Cgroup.open(f"{lab.name}/web")
    web.remove()
    again.kill()
    again.remove()
    assert not again.pids
    assert not again.stats().parts.keys() & {"memory", "pids"}
