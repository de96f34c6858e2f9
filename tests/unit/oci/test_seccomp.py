"""Filters as rules that exclude each other, held against what the first rule that fits says."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import Argument, Rule, Seccomp
from nsbox.oci import seccomp
from nsbox.oci.document import Node

COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
NEARBY = (0, 1, 39, 40, 41, 0x5411, 0x5412, 0x5413, 0x541C, 0x541D, 0xFFFFFFFF, 1 << 32 | 0x5412)


def holds(argument, values):
    value = values[argument.index]
    if argument.comparison == "&==":
        return value & argument.mask == argument.value
    return COMPARE[argument.comparison](value, argument.value)


def first(filter_, name, values):
    """What a filter of ours says of a call."""
    for rule in filter_.rules:
        if name in rule.names and all(holds(argument, values) for argument in rule.arguments):
            return rule.action
    return filter_.default


def only(filter_, name, values):
    """What a runtime's filter says of it: rules without tests win, of the others one action fits."""
    rules = [rule for rule in filter_.rules if name in rule.names]
    for rule in rules:
        if not rule.arguments:
            return rule.action
    fitting = {r.action for r in rules if all(holds(argument, values) for argument in r.arguments)}
    assert len(fitting) <= 1, f"the order of the rules for {name} matters"
    return fitting.pop() if fitting else filter_.default


def rewritten(filter_):
    """The rules as a runtime reads them: none of what the default says anyway."""
    document = seccomp.write(filter_) | {"new": True}  # so that it is not known again
    return seccomp.read(Node("linux", {"seccomp": document}))


@pytest.mark.parametrize("filter_", [Seccomp.standard(), Seccomp.strict()])
def test_the_filters_of_this_package_mean_the_same_in_a_bundle(filter_):
    other = rewritten(filter_)
    for name in {name for rule in filter_.rules for name in rule.names} | {"none"}:
        for value in NEARBY:
            for values in ((value,) * 6, (1, value, 1, 1, 1, 1), (value, 0, 0, 0, 0, 0)):
                assert only(other, name, values) == first(filter_, name, values), (name, values)


def test_a_filter_of_this_package_is_known_again():
    for filter_ in (Seccomp.standard(), Seccomp.strict()):
        document = {"seccomp": seccomp.write(filter_)}
        assert seccomp.read(Node("linux", document)) == filter_


def test_what_was_denied_first_stays_denied():
    filter_ = Seccomp.standard().deny("read").allow("mount")
    other = rewritten(filter_)
    for name in ("read", "mount", "write"):
        assert only(other, name, (0,) * 6) == first(filter_, name, (0,) * 6)


@given(
    st.integers(0, 15),
    st.lists(st.integers(0, 15), min_size=1, max_size=4),
    st.integers(0, 31),
)
def test_all_but_some_values_are_covered_by_patterns_of_their_bits(mask, values, value):
    rules = [
        Rule("ioctl", "EINVAL", arguments=[Argument(1, "&==", one & mask, mask=mask)])
        for one in values
    ]
    filter_ = Seccomp([*rules, Rule("ioctl")])
    other = rewritten(filter_)
    assert only(other, "ioctl", (0, value)) == first(filter_, "ioctl", (0, value))


@pytest.mark.parametrize("comparison", COMPARE)
@pytest.mark.parametrize("value", [4, 5, 6])
def test_a_comparison_is_turned_round_for_what_comes_after_it(comparison, value):
    filter_ = Seccomp(
        [Rule("dup", "EINVAL", arguments=[Argument(0, comparison, 5)]), Rule(["dup", "dup2"])]
    )
    other = rewritten(filter_)
    assert only(other, "dup", (value,)) == first(filter_, "dup", (value,))


def test_where_the_order_of_a_bundles_rules_says_nothing_those_without_tests_win():
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [
            {
                "names": ["dup"],
                "action": "SCMP_ACT_KILL",
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
            },
            {"names": ["dup"], "action": "SCMP_ACT_ALLOW"},
        ],
    }
    filter_ = seccomp.read(Node("linux", {"seccomp": document}))
    assert filter_.default == 38
    assert first(filter_, "dup", (1,)) == "allow"
