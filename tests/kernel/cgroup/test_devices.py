"""Devices on cgroup v2: a program that lets through what the rules allow, and refuses the rest."""

import os
import subprocess

import pytest

import nsbox
from nsbox import BoxSpec, Cgroup, NsboxError, Resources, UnsupportedError
from nsbox.constants import Capability

from .conftest import NAME

pytestmark = pytest.mark.cgroups

TRY = "for d in null zero full urandom; do (: < /dev/$d) 2>&- && echo $d; done; true"
NODES = "c *:* m"
"""A box makes the nodes of its /dev itself."""


@pytest.fixture
def group():
    """A group of cgroup v2 alone, with a caller who may load programs."""
    try:
        made = Cgroup.create(NAME, subsystems={"unified"})
    except NsboxError as error:
        pytest.skip(f"needs cgroup v2 to write to: {error}")
    with made:
        try:
            made.set(Resources(devices=["a"]))
        except UnsupportedError as error:
            pytest.skip(f"needs a caller who may load eBPF programs: {error}")
        yield made


def usable(group):
    """Which of some devices a command in the group can open."""
    command = ["sh", "-c", f"read line; {TRY}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        group.attach(process.pid)
        told, _ = process.communicate(b"\n", timeout=20)
    return told.decode().split()


def test_only_what_is_allowed_can_be_used(group):
    assert usable(group) == ["null", "zero", "full", "urandom"]
    group.set(Resources(devices=["c 1:3 rwm", "c 1:9 r"]))
    assert usable(group) == ["null", "urandom"]


def test_one_list_takes_the_place_of_another(group):
    for rules, wanted in (
        (["c 1:5 rwm"], ["zero"]),
        (["c 1:* r"], ["null", "zero", "full", "urandom"]),
        ([], []),
        (["c 1:7 r", "c 1:3 w"], ["full"]),
        (["a"], ["null", "zero", "full", "urandom"]),
    ):
        group.set(Resources(devices=rules))
        assert usable(group) == wanted


def test_a_group_below_has_what_both_allow(group):
    below = group.child("below", Resources(devices=["c 1:3 rwm", "c 1:5 rwm"]))
    assert usable(below) == ["null", "zero"]
    group.set(Resources(devices=["c 1:5 rwm", "c 1:7 rwm"]))
    assert usable(below) == ["zero"]
    below.set(Resources(devices=["a"]))
    assert usable(below) == ["zero", "full"]


def test_a_task_that_is_there_already_is_limited_too(group, start):
    process = start("! (: < /dev/zero) && : < /dev/null")
    group.attach(process.pid)
    group.set(Resources(devices=["c 1:3 rwm"]))
    process.stdin.close()
    assert process.wait(timeout=20) == 0


def test_a_box_begins_with_its_rules(group):
    spec = BoxSpec(resources=Resources(devices=["c 1:3 rwm", NODES]))
    if "devices" not in nsbox.subsystems():  # v1's, whose lists are taken where there are any
        assert "BPF_CGROUP_DEVICE" in str(spec.plan(["true"]))
    with spec.start(cgroup=group) as box:
        done = box.run(["sh", "-c", TRY], stdout=nsbox.PIPE, text=True, check=True)
        assert done.stdout.split() == ["null"]
    unable = BoxSpec(resources=Resources(devices=["c 1:3 rwm"]))
    with pytest.raises(NsboxError, match=r"mknodat(?s:.)*'c \*:\* m'"):
        nsbox.run(["true"], unable, cgroup=group)


def test_a_list_that_is_refused_leaves_the_one_from_before(group, monkeypatch):
    group.set(Resources(devices=["c 1:3 rwm"]))
    with monkeypatch.context() as patched:
        patched.setattr("nsbox.cgroup.controllers.devices.program", lambda _: b"\xff" * 8)
        with pytest.raises(NsboxError, match=r"bpf(?s:.)*CONFIG_CGROUP_BPF") as caught:
            group.set(Resources(devices=["a"]))
        assert isinstance(caught.value, OSError)
        with pytest.raises(NsboxError, match="bpf"):
            group.child("never", Resources(devices=["a"]))
    assert usable(group) == ["null"]
    assert group.children == ()


def test_a_caller_who_may_load_no_program_is_told_so_before_anything_is_made(group, monkeypatch):
    monkeypatch.setattr("nsbox._native.capabilities", lambda: int(Capability.CAP_NET_ADMIN))
    for refused in (
        lambda: group.set(Resources(devices=["a"])),
        lambda: group.child("never", Resources(devices=["a"])),
    ):
        with pytest.raises(UnsupportedError, match=r"devices: .*CAP_BPF"):
            refused()
    assert group.children == ()


def test_an_ordinary_user_is_told_what_it_takes():
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user with a subtree of cgroup v2 of its own")
    try:
        made = Cgroup.create(NAME, subsystems={"unified"})
    except NsboxError as error:
        pytest.skip(f"needs cgroup v2 to write to: {error}")
    with made, pytest.raises(UnsupportedError, match=r"devices: .*CAP_BPF"):
        made.set(Resources(devices=["c 1:3 rwm"]))
