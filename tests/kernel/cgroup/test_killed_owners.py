"""Owners are killed at any moment: nothing that they started lives on, and one `reap` tidies up."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox.cgroup import files

ROUNDS = 200
AT_ONCE = 5
"""Owners that are killed before somebody looks."""

MARK = str(86400 * 365 + os.getpid())
"""What the tasks sleep: it tells them from all others."""

NURSERY = f"""
import os, signal, sys, time
import nsbox
from nsbox import BoxSpec, Cgroup, Resources

def own(*, once=False):
    name = f"nsbox-{{os.getpid()}}-busy"
    while True:
        with BoxSpec(resources=Resources(pids_max=20)).start() as box:
            box.popen(["sleep", "{MARK}"])
        with Cgroup.create(name, Resources(pids_max=20), subsystems={{"memory"}}) as group:
            below = group.child("below")
            nsbox.popen(["sleep", "{MARK}"], cgroup=below).kill()
            nsbox.popen(["sleep", "{MARK}"], cgroup=group)
        if once:
            return

own(once=True)  # what is loaded when it is first used is loaded now
began = time.monotonic()
own(once=True)
took = time.monotonic() - began
for line in sys.stdin:
    killed = []
    for moment in map(float, line.split()):
        pid = os.fork()
        if not pid:
            own()
        time.sleep(moment * took)
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        killed.append(pid if os.WTERMSIG(status) == signal.SIGKILL else -pid)
    print(*killed, flush=True)
"""
"""It forks owners, as starting an interpreter for each would take most of the time."""


@pytest.fixture
def nursery() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def groups(owners: list[int]) -> list[str]:
    """The folders of these owners: boxes have the pid in their names, as ours have here."""
    names = tuple(f"nsbox-{pid}-" for pid in owners)
    return [
        folder
        for hierarchy in nsbox.hierarchies()
        for folder in files.walk(hierarchy.mountpoint)
        if os.path.basename(folder).startswith(names)
    ]


def tasks() -> list[int]:
    """Whoever still sleeps as the owners' tasks do."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[:2] == [b"sleep", MARK.encode()]:
            found.append(int(folder.name))
    return found


def test_an_owner_killed_at_any_moment_leaves_no_task_and_no_group(lab, nursery):
    choice = random.Random(11)
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    seen = 0
    for _ in range(ROUNDS // AT_ONCE):
        moments = [choice.uniform(0, 5) for _ in range(AT_ONCE)]
        print(*moments, file=nursery.stdin, flush=True)
        owners = [int(word) for word in nursery.stdout.readline().split()]
        assert len(owners) == AT_ONCE
        assert min(owners) > 0, "an owner ended by itself"
        deadline = time.monotonic() + 20
        while tasks() and time.monotonic() < deadline:
            time.sleep(0.005)  # a box's first process sees its owner's end, and ends the box
        assert tasks() == []
        seen += len(groups(owners))
        nsbox.reap()
        assert groups(owners) == []
    assert seen > ROUNDS // 4, "hardly an owner had got anywhere"
    assert lab.exists
