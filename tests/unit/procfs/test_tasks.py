"""Who a task is and what it may do, as the kernel writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.procfs import Ids, Stat, Status, decode, parse_stat, parse_status

STATUS = """Name:\tpython3
Umask:\t0022
State:\tS (sleeping)
Uid:\t1000\t1001\t1002\t1003
Gid:\t100\t101\t102\t103
FDSize:\t64
Groups:\t4 24 27 1000\x20
NStgid:\t29143\t7
NSpid:\t29143\t7
Threads:\t3
SigQ:\t0/127454
CapInh:\t0000000000000000
CapPrm:\t000001ffffffffff
CapEff:\t00000000a80425fb
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Speculation_Store_Bypass:\tthread vulnerable
"""
STAT = (
    "29143 (cat) R 29116 29115 11789 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 66162 3133440 412 "
    "18446744073709551615 94813412937728 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
)


def without(key, text=STATUS):
    return "".join(line for line in text.splitlines(True) if not line.startswith(f"{key}:"))


def test_a_status_is_read_into_text_by_key():
    fields = parse_status(STATUS)
    assert list(fields) == [line.split(":")[0] for line in STATUS.splitlines()]
    assert fields["Name"] == "python3"
    assert fields["State"] == "S (sleeping)"


def test_a_status_has_a_typed_view():
    assert Status.of(parse_status(STATUS)) == Status(
        uids=Ids(1000, 1001, 1002, 1003),
        gids=Ids(100, 101, 102, 103),
        groups=(4, 24, 27, 1000),
        threads=3,
        no_new_privs=True,
        seccomp=2,
        nspid=(29143, 7),
        inheritable=0,
        permitted=0x1FFFFFFFFFF,
        effective=0xA80425FB,
        bounding=0x1FFFFFFFFFF,
        ambient=0,
    )


def test_a_task_without_groups_has_none():
    status = STATUS.replace("Groups:\t4 24 27 1000 ", "Groups:\t ")
    assert Status.of(parse_status(status)).groups == ()


@pytest.mark.parametrize(("key", "value"), [("Seccomp", None), ("NSpid", ())])
def test_what_some_kernels_do_not_write_is_told_as_unknown(key, value):
    assert getattr(Status.of(parse_status(without(key))), key.lower()) == value


@pytest.mark.parametrize("key", ["Uid", "Gid", "Groups", "Threads", "CapEff", "NoNewPrivs"])
def test_what_every_kernel_writes_must_be_there(key):
    with pytest.raises(ValueError, match=key):
        Status.of(parse_status(without(key)))


@pytest.mark.parametrize(
    "line",
    [
        "Uid:\t1\t2\t3",
        "Threads:\t-1",
        "Threads:\t1 2",
        "CapEff:\t0x1f",
        "NoNewPrivs:\t2",
        "Uid:\ta b c d",
    ],
)
def test_a_field_that_holds_no_such_number_is_refused_by_its_name(line):
    key = line.split(":")[0]
    with pytest.raises(ValueError, match=key):
        Status.of(parse_status(without(key) + line + "\n"))


@pytest.mark.parametrize("text", ["no key\n", ":\tx\n", "Name:\ta\nName:\tb\n", "\n"])
def test_a_status_with_a_line_without_a_key_of_its_own_is_refused(text):
    with pytest.raises(ValueError, match="status, line "):
        parse_status(text)


def test_the_name_of_a_task_may_hold_colons_and_odd_bytes():
    assert parse_status(decode(b"Name:\t:a\\nb\xff\x0c\n"))["Name"] == ":a\\nb\udcff\x0c"


def test_a_stat_is_read():
    assert parse_stat(STAT) == Stat(29143, "cat", "R", 29116, 29115, 11789, 1, 66162)


@pytest.mark.parametrize(
    "comm", ["", " ", "a b", ") R 1 (", "))((", "(sd-pam)", "a\nb", "\udcff", ") "]
)
def test_a_comm_may_hold_what_it_likes(comm):
    assert parse_stat(STAT.replace("(cat)", f"({comm})")).comm == comm


def test_a_process_in_its_last_moments_has_no_group_and_session():
    stat = parse_stat(STAT.replace(" R 29116 29115 11789 ", " X 0 -1 -1 "))
    assert (stat.state, stat.ppid, stat.pgrp, stat.session) == ("X", 0, -1, -1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "29143 cat R 1 2 3\n",
        STAT.replace(" 66162 ", " soon "),
        STAT.replace("(cat) R", "(cat) RR"),
        STAT.replace("(cat) R", "(cat) 1"),
        STAT.replace("29143", "-29143"),
        STAT.replace(" 29116 ", " -2 "),
        STAT.replace("29143 ", ""),
        " ".join(STAT.split()[:21]),
    ],
)
def test_what_is_no_stat_is_refused(text):
    with pytest.raises(ValueError, match="stat: expected "):
        parse_stat(text)


comms = st.binary(max_size=15).map(lambda comm: decode(comm.replace(b"\0", b"")))
pids = st.integers(0, 2**22)
stats = st.builds(
    Stat,
    pids,
    comms,
    st.sampled_from("RSDZTtXxKWPI"),
    pids,
    pids | st.just(-1),
    pids | st.just(-1),
    st.integers(0, 2**31),
    st.integers(0, 2**64 - 1),
)


@given(stats, st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_stats_are_read_back_whatever_newer_kernels_add(stat, added):
    head = f"{stat.pid} ({stat.comm}) {stat.state} {stat.ppid} {stat.pgrp} {stat.session}"
    fields = ["0", "-1", *["4"] * 11, str(stat.num_threads), "0", str(stat.starttime)]
    assert parse_stat(" ".join([head, *fields, *map(str, added)]) + "\n") == stat


ids = st.builds(Ids, *[st.integers(0, 2**32 - 1)] * 4)
masks = st.integers(0, 2**64 - 1)
statuses = st.builds(
    Status,
    ids,
    ids,
    st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple),
    st.integers(1, 2**22),
    st.booleans(),
    st.none() | st.integers(0, 2),
    st.lists(pids, max_size=4).map(tuple),
    *[masks] * 5,
)


def written(status):
    yield "Name:\tx"
    yield "Uid:\t" + "\t".join(map(str, status.uids))
    yield "Gid:\t" + "\t".join(map(str, status.gids))
    yield "Groups:\t" + "".join(f"{group} " for group in status.groups)
    if status.nspid:
        yield "NSpid:\t" + "\t".join(map(str, status.nspid))
    yield f"Threads:\t{status.threads}"
    for key, mask in zip(("Inh", "Prm", "Eff", "Bnd", "Amb"), status[-5:], strict=True):
        yield f"Cap{key}:\t{mask:016x}"
    yield f"NoNewPrivs:\t{status.no_new_privs:d}"
    if status.seccomp is not None:
        yield f"Seccomp:\t{status.seccomp}"


@given(statuses)
def test_statuses_are_read_back(status):
    assert Status.of(parse_status("\n".join(written(status)) + "\n")) == status


pieces = st.lists(st.sampled_from(["1", " ", "(", ")", "-1", "S", "\n", ":", "\t", "Uid", "x"]))
texts = st.text() | pieces.map("".join)


@given(texts | texts.map(lambda tail: f"1 (a) S 1 1 1 {tail}"))
def test_any_text_gives_a_stat_or_a_value_error(attempt, text):
    stat, complaint = attempt(parse_stat, text)
    if complaint is not None:
        assert complaint.startswith("stat: ")
    else:
        assert text.startswith(f"{stat.pid} ({stat.comm}) {stat.state} ")


@given(texts, st.sampled_from(["Uid", "Groups", "Threads", "CapEff", "NoNewPrivs", "Seccomp"]))
def test_any_text_gives_a_status_or_a_value_error(attempt, text, key):
    value = text.replace("\n", "")
    fields = {**parse_status(STATUS), key: value}
    _, complaint = attempt(parse_status, text)
    assert complaint is None or complaint.startswith("status, line ")
    _, complaint = attempt(Status.of, fields)
    assert complaint is None or key in complaint
    assert complaint is not None or value.strip(" \t0123456789abcdef") == ""
