"""A caller in a group of cgroup v2 moves into a leaf if it agrees; nothing else moves it."""

import os
import subprocess
import sys

import pytest

import nsbox

pytestmark = pytest.mark.cgroups

SCRIPT = """
import os, subprocess, sys
import nsbox
from nsbox import Cgroup, Resources, UnsupportedError
outer = Cgroup.open(sys.argv[1])
outer.attach(os.getpid())
before = open("/proc/self/cgroup").read()
wish = Resources(memory_max="64M")
try:
    Cgroup.create("inner", wish)
except UnsupportedError as error:
    assert "Cgroup.enter_leaf()" in str(error), error
else:
    raise AssertionError("a group that holds processes handed controllers down")
assert open("/proc/self/cgroup").read() == before  # nothing moved by itself
other = subprocess.Popen(["sleep", "60"])
try:
    try:
        Cgroup.enter_leaf()
    except UnsupportedError as error:
        assert str(other.pid) in str(error), error
    else:
        raise AssertionError("another process was left behind, or moved")
finally:
    other.kill()
    other.wait()
leaf = Cgroup.enter_leaf()
assert leaf.parent == outer and leaf.pids == {os.getpid()}
assert Cgroup.enter_leaf() is None  # already done
with Cgroup.create("inner", wish) as inner:
    assert inner.parent == outer
    assert inner.resources.memory_max == 64 << 20
    inner.attach(os.getpid())
assert leaf.pids == {os.getpid()}  # moved back
print(leaf.name)
"""


def test_a_leaf_is_entered_when_asked(lab):
    memory = nsbox.subsystems()["memory"].hierarchy
    if memory.version == 1:
        pytest.skip("needs cgroup v2 with the memory controller")
    outer = lab.child("outer")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, next(iter(outer.directories.values()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    leaf = done.stdout.strip()
    assert [child.name for child in outer.children] == [leaf]
    removed = nsbox.reap()  # its owner is dead
    assert not outer.children
    assert any(os.path.basename(folder) == leaf for folder in removed)


def test_there_is_nothing_to_enter_at_the_root_of_the_tree():
    if any(h.version == 2 for h in nsbox.hierarchies()) and os.path.exists(
        f"{next(h.mountpoint for h in nsbox.hierarchies() if h.version == 2)}/cgroup.type"
    ):
        pytest.skip("needs the real root of the tree, not a container's")
    if nsbox.Task.current().cgroups.get("unified") not in (None,) and (
        nsbox.Task.current().cgroups["unified"].depth > 0
    ):
        pytest.skip("needs a caller in the root group")
    assert nsbox.Cgroup.enter_leaf() is None
