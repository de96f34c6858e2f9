"""A filter answers as its rules say: the program is run by a small machine of the test's own."""

import errno
import os
import pickle

import attrs
import classic_bpf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import Argument, FilterProgram, Rule, Seccomp, _native
from nsbox.security import bpf
from nsbox.security.seccomp import ALLOW, ERRNO

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[os.uname().machine]
NUMBERS = _native.syscalls()
NAMES = sorted(NUMBERS)
UNKNOWN = max(NUMBERS.values()) + 1


def answer(program, number, arguments=(0,) * 6, architecture=ARCHITECTURE):
    return classic_bpf.answer(classic_bpf.decode(program), number, arguments, architecture)


def holds(test, arguments):
    return classic_bpf.holds(arguments[test.index], test.comparison, test.value, test.mask)


def expected(seccomp, name, arguments):
    for rule in seccomp.rules:
        if name in rule.names and all(holds(test, arguments) for test in rule.arguments):
            return rule.action
    return seccomp.default


def result(action):
    return ALLOW if action == "allow" else ERRNO | action


EDGES = [0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 63), (1 << 64) - 1]
VALUES = st.sampled_from(EDGES) | st.integers(0, (1 << 64) - 1)
TESTS = st.builds(
    Argument, st.integers(0, 5), st.sampled_from(bpf.COMPARISONS), VALUES, mask=VALUES
)
ACTIONS = st.just("allow") | st.integers(1, 200)
SOME = NAMES[:: len(NAMES) // 12]
RULES = st.builds(
    Rule,
    st.lists(st.sampled_from(SOME), min_size=1, max_size=4),
    ACTIONS,
    arguments=st.lists(TESTS, max_size=3),
)


@given(st.lists(RULES, max_size=8), ACTIONS, st.sampled_from(SOME), st.tuples(*[VALUES] * 6))
def test_a_program_answers_as_the_first_rule_that_fits(rules, default, name, arguments):
    seccomp = Seccomp(rules, default)
    assert answer(seccomp.program(), NUMBERS[name], arguments) == result(
        expected(seccomp, name, arguments)
    )


@pytest.mark.parametrize(
    "seccomp", [Seccomp.standard(), Seccomp.strict()], ids=["standard", "strict"]
)
def test_each_call_of_this_architecture_is_answered_as_the_list_says(seccomp):
    program = seccomp.program()
    for name in NAMES:
        assert answer(program, NUMBERS[name]) == result(expected(seccomp, name, (0,) * 6)), name


def test_a_call_that_is_younger_than_the_headers_does_not_exist():
    for number in (UNKNOWN, UNKNOWN + 100, (1 << 30) - 1):
        assert answer(Seccomp.standard().program(), number) == ERRNO | errno.ENOSYS
    assert answer(Seccomp([], "allow").program(), UNKNOWN) == ALLOW


def test_another_architecture_s_numbers_are_refused():
    for name in ("read", "execve"):
        refused = answer(Seccomp.standard().program(), NUMBERS[name], architecture=0x40000003)
        assert refused == ERRNO | errno.EPERM


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86-64, which has x32 calls")
def test_the_x32_calls_are_refused():
    x32 = 0x40000000 | NUMBERS["read"]
    assert answer(Seccomp.standard().program(), x32) == ERRNO | errno.EPERM


DANGEROUS = (
    "mount", "umount2", "pivot_root", "unshare", "setns", "init_module", "finit_module",
    "delete_module", "kexec_load", "reboot", "swapon", "swapoff", "settimeofday", "clock_settime",
    "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
    "open_by_handle_at", "acct", "quotactl", "syslog", "sethostname", "iopl", "ioperm", "fsopen",
    "move_mount", "mount_setattr", "open_tree",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in DANGEROUS if name in NUMBERS])
def test_what_changes_the_machine_is_on_no_list(name):
    for seccomp in (Seccomp.standard(), Seccomp.strict()):
        assert answer(seccomp.program(), NUMBERS[name]) == ERRNO | errno.EPERM


def test_namespaces_are_not_made_by_clone():
    program = Seccomp.standard().program()
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert answer(program, NUMBERS["clone"], (1 << bit, 0, 0, 0, 0, 0)) == ERRNO | errno.EPERM
    assert answer(program, NUMBERS["clone"], (0x1200011, 0, 0, 0, 0, 0)) == ALLOW
    assert answer(program, NUMBERS["clone3"]) == ERRNO | errno.ENOSYS


def test_terminals_are_not_typed_into_whatever_the_high_half_says():
    program = Seccomp.standard().program()
    for high in (0, 1 << 32, 0xFFFFFFFF << 32):
        assert answer(program, NUMBERS["ioctl"], (0, 0x5412 | high, 0, 0, 0, 0)) != ALLOW
    assert answer(program, NUMBERS["ioctl"], (0, 0x5413, 0, 0, 0, 0)) == ALLOW


def test_a_list_is_changed_by_name():
    changed = Seccomp.standard().allow("userfaultfd").deny("ptrace", action="ENOSYS")
    assert answer(changed.program(), NUMBERS["userfaultfd"]) == ALLOW
    assert answer(changed.program(), NUMBERS["ptrace"]) == ERRNO | errno.ENOSYS


def test_what_is_allowed_whatever_the_arguments_is_told():
    listed = Seccomp((Rule(("read", "close")), Rule("dup", arguments=[Argument(0, "==", 1)])))
    assert listed.allows("read", "close")
    assert not listed.allows("read", "dup")
    assert not listed.allows("write")
    assert not listed.deny("close").allows("close")
    assert Seccomp((), "allow").deny("write").allows("read")
    assert not FilterProgram(listed.program()).allows("read")


def test_the_lists_are_short_programs():
    assert len(Seccomp.standard().program()) // 8 < 125
    assert len(Seccomp.strict().program()) // 8 < 175


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Rule("read", "no such action"), "action"),
        (lambda: Rule("read", 0), "action"),
        (lambda: Rule("read", 5000), "action"),
        (lambda: Rule("read", True), "action"),
        (lambda: Rule("not a name"), "names"),
        (lambda: Rule([5]), "names"),
        (lambda: Argument(6, "==", 0), "index"),
        (lambda: Argument(0, "==", -1), "value"),
        (lambda: Argument(0, "==", 1 << 64), "value"),
        (lambda: Argument(0, "=~", 1), "comparison"),
        (lambda: Seccomp(["read"]), "rules"),
        (lambda: Rule("read", arguments=[(0, "==", 1)]), "arguments"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(make, field):
    with pytest.raises(ValueError, match=field):
        make()


def test_filters_are_values():
    assert pickle.loads(pickle.dumps(Seccomp.strict())) == Seccomp.strict()
    assert len({Seccomp.standard(), Seccomp.standard(), Seccomp.strict()}) == 2
    assert attrs.evolve(Seccomp.standard(), default="ENOSYS").default == errno.ENOSYS


def test_a_filter_that_is_too_long_is_refused():
    rules = [
        Rule(name, 2, arguments=[Argument(0, "==", place << 32 | number)])
        for place, name in enumerate(NAMES)
        for number in range(4)
    ]
    with pytest.raises(ValueError, match=r"seccomp: a filter of \d+ instructions; .* 4096"):
        Seccomp(rules).program()
    assert len(Seccomp(rules[: len(rules) // 2]).program()) // 8 > 1000


def test_a_rule_for_many_calls_is_written_once():
    one, all_of_them = (
        Seccomp([Rule(names, 1, arguments=[Argument(0, "==", 5)])], "allow").program()
        for names in ("read", NAMES)
    )
    assert len(all_of_them) < len(one) + 8 * 50
