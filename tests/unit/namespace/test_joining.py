"""In which order a box joins namespaces: when nobody in them can trace it, and while it may."""

from unittest import mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsbox
from nsbox import BoxSpec, Choice, IDMap, NamespaceType
from nsbox.caller import Caller
from nsbox.constants import Capability, CloneFlag
from nsbox.lower import without_handles
from nsbox.namespace import Namespace

USER, PID, UTS = NamespaceType.USER, NamespaceType.PID, NamespaceType.UTS
ROOT = Caller(0, 0, Capability.CAP_SYS_ADMIN, "/", 1)
ORDINARY = Caller(1000, 1000, Capability(0), "/", 1)

choices = st.dictionaries(
    st.sampled_from(NamespaceType), st.sampled_from([*Choice, "/some/path"]), max_size=8
)
callers = st.sampled_from([ROOT, ORDINARY])
id_maps = st.sampled_from([IDMap(), IDMap.same(), IDMap(7, gid=8)])


def steps(chosen, caller, id_map=IDMap()):
    spec = BoxSpec(namespaces=chosen, id_map=id_map)
    with mock.patch.object(Caller, "current", return_value=caller):
        return spec.plan(["true"])


def names(listed):
    return [step.operation.name for step in listed]


@given(choices, callers, id_maps)
def test_nothing_is_joined_before_the_first_process_is_out_of_anybodys_reach(chosen, caller, ids):
    order = names(steps(chosen, caller, ids))
    for index, name in enumerate(order):
        if name == "EXECVEAT":  # which makes it dumpable again
            assert order[index + 1] == "NOT_DUMPABLE"
    if "SETNS" in order:
        assert order.index("EXECVEAT") < order.index("NOT_DUMPABLE") < order.index("SETNS")


@given(choices, callers, id_maps)
def test_what_is_asked_for_is_joined_once_and_the_rest_is_made_once(chosen, caller, ids):
    plan = steps(chosen, caller, ids)
    joined = [step.arguments[2] for step in plan if step.operation.name == "SETNS"]
    made = [
        flag
        for step in plan
        if step.operation.name in ("CLONE3", "UNSHARE")
        for flag in CloneFlag(step.arguments[0])
    ]
    asked = {kind.clone_flag for kind, choice in chosen.items() if choice == "/some/path"}
    new = {kind.clone_flag for kind, choice in chosen.items() if choice is Choice.NEW}
    user = {USER.clone_flag}
    assert len(joined) == len(set(joined))
    assert len(made) == len(set(made))
    assert set(joined) - user == asked - user
    assert set(made) - user == new - user
    if USER in chosen:
        assert (set(joined) & user, set(made) & user) == (asked & user, new & user)
    elif caller is ORDINARY:
        assert (set(joined) & user, set(made) & user) == ((user, set()) if asked else (set(), user))


@given(choices, id_maps)
def test_an_ordinary_caller_begins_anew_in_its_user_namespace_and_joins_the_rest_then(chosen, ids):
    order = steps(chosen | {USER: "/some/path"}, ORDINARY, ids)
    joined = [i for i, step in enumerate(order) if step.operation.name == "SETNS"]
    assert order[joined[0]].arguments[2] is USER.clone_flag
    again = names(order).index("EXECVEAT", joined[0])
    assert all(index > again for index in joined[1:])


@given(choices, id_maps)
def test_a_privileged_caller_joins_the_user_namespace_last_and_never_begins_anew(chosen, ids):
    order = steps(chosen | {USER: "/some/path"}, ROOT, ids)
    joined = [step for step in order if step.operation.name == "SETNS"]
    assert joined[-1].arguments[2] is USER.clone_flag
    assert names(order).count("EXECVEAT") == 1


@given(choices, callers)
def test_only_a_new_process_is_in_a_pid_namespace_that_is_joined(chosen, caller):
    order = names(steps(chosen | {PID: "/some/path"}, caller))
    last = len(order) - 1 - order[::-1].index("SETNS")
    assert "CLONE3" in order[last:]
    assert order.count("CLONE3") == 2


def test_ranges_are_a_user_namespace_that_is_made_first_and_joined():
    id_map = IDMap.ranges([(0, 100000, 10)])
    for caller in (ROOT, ORDINARY):
        shown = [str(step) for step in steps(nsbox.ISOLATED, caller, id_map)]
        assert any("made for the ranges of id_map" in step for step in shown)


def test_what_is_kept_of_a_spec_keeps_no_handle():
    with Namespace.current(UTS) as here:
        spec = without_handles(BoxSpec(namespaces=nsbox.ISOLATED | {UTS: here}))
        assert not any(isinstance(chosen, Namespace) for chosen in spec.namespaces.values())
        assert str(here) in str(steps(spec.namespaces, ROOT))
    plain = BoxSpec(hostname="plain")
    assert without_handles(plain) is plain
    assert attrs.evolve(plain) == plain


@pytest.mark.parametrize("caller", [ROOT, ORDINARY], ids=["root", "ordinary"])
def test_the_default_box_joins_nothing(caller):
    assert "SETNS" not in names(steps(nsbox.ISOLATED, caller))
