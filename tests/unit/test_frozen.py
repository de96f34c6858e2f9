"""A mapping that is a value."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.frozen import FrozenMap

dicts = st.dictionaries(st.text(), st.integers() | st.text())


@given(dicts)
def test_it_is_the_mapping_that_it_was_made_from(items):
    frozen = FrozenMap(items)
    assert frozen == items
    assert dict(frozen) == items
    assert list(frozen) == list(items)
    assert len(frozen) == len(items)
    assert all(frozen[key] == value for key, value in items.items())


@given(dicts)
def test_its_order_does_not_count(items):
    backwards = FrozenMap(dict(reversed(items.items())))
    assert backwards == FrozenMap(items)
    assert hash(backwards) == hash(FrozenMap(items))


@given(dicts)
def test_it_is_carried_by_pickle(items):
    again = pickle.loads(pickle.dumps(FrozenMap(items)))
    assert type(again) is FrozenMap
    assert (again, hash(again)) == (FrozenMap(items), hash(FrozenMap(items)))


@given(dicts, dicts)
def test_it_is_joined_as_a_dict_is(left, right):
    frozen = FrozenMap(left)
    for other in (right, FrozenMap(right)):
        joined = frozen | other
        assert type(joined) is FrozenMap
        assert joined == left | right
    assert frozen == left


def test_it_does_not_follow_what_it_was_made_from():
    items = {"a": 1}
    frozen = FrozenMap(items)
    items["a"] = 2
    assert frozen["a"] == 1


def test_it_never_changes():
    frozen = FrozenMap({"a": 1})
    with pytest.raises(TypeError):
        frozen["a"] = 2
    with pytest.raises(TypeError):
        del frozen["a"]
    with pytest.raises(AttributeError):
        frozen.extra = 1


def test_it_is_empty_without_items():
    assert FrozenMap() == {}
    assert repr(FrozenMap({"a": 1})) == "FrozenMap({'a': 1})"
