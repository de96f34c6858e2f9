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

OTHERS = [LIMIT, Step(Operation.UMASK, (0,)), Step(Operation.SETSID)]
OF_A_ROOT = [PROC, Step(Operation.MASK, (Slot.EMPTY, Slot.MOUNT, "keys"))]
NEEDING = [
    Step(Operation.WRITE, ("/proc/sys/net/ipv4/ip_forward", b"1")),
    Step(Operation.MOUNT, (Slot.TREE, "sysfs", Slot.STAGE, "folder", 0, "")),
    Step(Operation.AWAIT, (Slot.WORD, Slot.LISTENER)),
    Step(Operation.COPY_TREE, ("/", Slot.ROOT, "a test")),
    Step(Operation.BIND, (Slot.TREE, Slot.CWD, "/proc/net", Slot.STAGE, 0)),
    CAPSET,
]


def made(kinds: CloneFlag) -> Step:
    return Step(Operation.UNSHARE_BESIDE, (kinds,))


def joined(kinds: CloneFlag) -> Step:
    return Step(Operation.SETNS_MADE, (Slot.MAKER, kinds))


@pytest.mark.parametrize("needing", NEEDING, ids=str)
def test_it_is_joined_right_before_the_first_step_that_needs_it(needing: Step) -> None:
    steps = [GROUP, LIMIT, CLONE, *OTHERS, *OF_A_ROOT, LOOPBACK, needing, CAPSET, EXECVE]
    assert list(rearranged(steps, root_is_ours=True)) == [
        made(NET | IPC), GROUP, LIMIT, Step(Operation.CLONE3, (PID,)),
        *OTHERS, *OF_A_ROOT, joined(NET | IPC), needing, CAPSET, EXECVE,
    ]  # fmt: skip


def test_where_the_caller_has_chosen_what_is_mounted_it_is_joined_before_that() -> None:
    steps = [CLONE, *OTHERS, *OF_A_ROOT, LOOPBACK, CAPSET, EXECVE]
    assert list(rearranged(steps, root_is_ours=False)) == [
        made(NET | IPC), Step(Operation.CLONE3, (PID,)),
        *OTHERS, joined(NET | IPC), *OF_A_ROOT, CAPSET, EXECVE,
    ]  # fmt: skip


def test_a_clone_into_a_group_keeps_the_group() -> None:
    into = Step(Operation.CLONE3_INTO, (PID, Slot.CGROUP))
    steps = [GROUP, INTO, LOOPBACK, CAPSET, EXECVE]
    assert list(rearranged(steps, root_is_ours=True)) == [
        made(NET),
        GROUP,
        into,
        joined(NET),
        CAPSET,
        EXECVE,
    ]


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
    assert list(rearranged(steps, root_is_ours=True)) == steps


@given(
    st.lists(st.sampled_from([*OTHERS, *OF_A_ROOT])),
    st.lists(st.sampled_from([*OTHERS, *OF_A_ROOT, *NEEDING, LOOPBACK])),
    st.booleans(),
)
def test_all_but_loopback_is_done_in_its_order(
    before: list[Step], after: list[Step], root_is_ours: bool
) -> None:
    put = list(rearranged([*before, CLONE, *after, CAPSET, EXECVE], root_is_ours=root_is_ours))
    assert put[0] == made(NET | IPC)
    index = put.index(joined(NET | IPC))
    kept = [step for step in after if step is not LOOPBACK]
    without = put[1:index] + put[index + 1 :]
    assert without == [*before, Step(Operation.CLONE3, (PID,)), *kept, CAPSET, EXECVE]
    late = NEEDING if root_is_ours else [*NEEDING, *OF_A_ROOT]
    assert not any(step in late for step in put[len(before) + 2 : index])


def test_it_takes_the_right_to_join_and_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    rights = Capability.CAP_SYS_ADMIN | Capability.CAP_SYS_PTRACE
    caller = Caller(0, 0, rights, "/", 1)
    for processors, possible in (({0, 1}, True), ({3}, False)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, found=processors: found)
        assert can_be(caller) is possible
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    for right in rights:
        assert not can_be(Caller(0, 0, right, "/", 1))
