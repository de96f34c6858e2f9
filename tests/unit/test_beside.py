"""What is made beside the rest of a box: how the steps are put, whatever they are."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox._native.operations import Operation
from nsbox.beside import can_be, rearranged
from nsbox.caller import Caller
from nsbox.constants import Capability, CloneFlag
from nsbox.plan import Slot, Step

NET, IPC, PID = CloneFlag.CLONE_NEWNET, CloneFlag.CLONE_NEWIPC, CloneFlag.CLONE_NEWPID
CLONE = Step(Operation.CLONE3, (NET | IPC | PID,))
INTO = Step(Operation.CLONE3_INTO, (NET | PID, Slot.CGROUP))
GROUP = Step(Operation.MKDIR, ("/sys/fs/cgroup/nsbox", 0o755))
LIMIT = Step(Operation.WRITE, ("/sys/fs/cgroup/nsbox/pids.max", b"1"))
LOOPBACK = Step(Operation.LOOPBACK_UP)
PROC = Step(Operation.FSOPEN, (Slot.CONTEXT, "proc"))
CAPSET = Step(Operation.CAPSET, (0,))
EXECVE = Step(Operation.EXECVE, ("true", ("true",)))

OTHERS = [PROC, LIMIT, Step(Operation.UMASK, (0,)), Step(Operation.SETSID)]
NEEDING = [
    Step(Operation.WRITE, ("/proc/sys/net/ipv4/ip_forward", b"1")),
    Step(Operation.FSOPEN, (Slot.CONTEXT, "sysfs")),
    Step(Operation.FSOPEN, (Slot.CONTEXT, "mqueue")),
    Step(Operation.MOUNT, (Slot.TREE, "sysfs", Slot.STAGE, "folder", 0, "")),
    Step(Operation.AWAIT, (Slot.WORD, Slot.LISTENER)),
    Step(Operation.COPY_TREE, ("/", Slot.ROOT, "a test")),
    CAPSET,
]


def made(kinds: CloneFlag) -> Step:
    return Step(Operation.UNSHARE_BESIDE, (kinds,))


def joined(kinds: CloneFlag) -> Step:
    return Step(Operation.SETNS_MADE, (Slot.MAKER, kinds))


@pytest.mark.parametrize("needing", NEEDING, ids=str)
def test_it_is_joined_right_before_the_first_step_that_needs_it(needing: Step) -> None:
    steps = [GROUP, LIMIT, CLONE, *OTHERS, LOOPBACK, needing, CAPSET, EXECVE]
    assert list(rearranged(steps)) == [
        made(NET | IPC), GROUP, LIMIT, Step(Operation.CLONE3, (PID,)),
        *OTHERS, joined(NET | IPC), needing, CAPSET, EXECVE,
    ]  # fmt: skip


def test_a_clone_into_a_group_keeps_the_group() -> None:
    into = Step(Operation.CLONE3_INTO, (PID, Slot.CGROUP))
    steps = [GROUP, INTO, LOOPBACK, CAPSET, EXECVE]
    assert list(rearranged(steps)) == [made(NET), GROUP, into, joined(NET), CAPSET, EXECVE]


@pytest.mark.parametrize(
    "steps",
    [
        [Step(Operation.CLONE3, (IPC | PID,)), EXECVE],
        [Step(Operation.CLONE3, (NET | CloneFlag.CLONE_NEWUSER,)), LOOPBACK, EXECVE],
        [Step(Operation.CLONE3, (NET,)), Step(Operation.CLONE3, (PID,)), LOOPBACK, EXECVE],
    ],
    ids=["no network", "one of another user namespace", "made in two clones"],
)
def test_what_cannot_be_made_beside_stays_as_it_was(steps: list[Step]) -> None:
    assert list(rearranged(steps)) == steps


@given(st.lists(st.sampled_from(OTHERS)), st.lists(st.sampled_from([*OTHERS, *NEEDING, LOOPBACK])))
def test_all_but_loopback_is_done_in_its_order(before: list[Step], after: list[Step]) -> None:
    put = list(rearranged([*before, CLONE, *after, CAPSET, EXECVE]))
    assert put[0] == made(NET | IPC)
    index = put.index(joined(NET | IPC))
    kept = [step for step in after if step is not LOOPBACK]
    without = put[1:index] + put[index + 1 :]
    assert without == [*before, Step(Operation.CLONE3, (PID,)), *kept, CAPSET, EXECVE]
    assert not any(step in NEEDING for step in put[len(before) + 2 : index])


def test_it_takes_the_right_to_join_and_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    rights = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_PTRACE
    caller = Caller(0, 0, rights, "/", 1)
    for processors, possible in (({0, 1}, True), ({3}, False)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, found=processors: found)
        assert can_be(caller) is possible
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    for right in rights:
        assert not can_be(Caller(0, 0, right, "/", 1))
