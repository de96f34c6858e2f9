"""Who is who in a user namespace, as a value."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import IDMap
from nsbox.namespace.idmap import MAX_BYTES, MAX_ID, map_text
from nsbox.procfs import IDMapLine, parse_id_map

ids = st.integers(0, MAX_ID)
counts = st.integers(1, MAX_ID + 1)
small = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 15))


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 0)],
        [5],
        [(0, 100000, 0)],
        [(0, 100000, -1)],
        [(-1, 100000, 1)],
        [(0, 100000, True)],
        [("0", 100000, 1)],
        [(0, 2**32 - 2, 2)],
        [(0, 0, 2**32)],
        [(0, 2**40, 1)],
        [(0, 100000, 1.0)],
        5,
        [(0, 100000, 10), (9, 200000, 10)],
        [(0, 100000, 10), (10, 100009, 10)],
        [(n, 100000 + n, 1) for n in range(341)],
        [(1, 100000, 10)],
        [],
    ],
    ids=lambda ranges: str(ranges)[:30],
)
def test_ranges_that_no_kernel_would_take_are_refused(ranges):
    with pytest.raises(ValueError, match=r"^(uids|gids|uid|gid): "):
        IDMap.ranges(ranges, [(0, 100000, 10)])


def test_an_id_map_writes_one_line_for_each_kind():
    assert IDMap().lines(1000, 100) == ("0 1000 1", "0 100 1")
    assert IDMap.root() == IDMap(0, gid=0)
    assert IDMap.same().lines(1000, 100) == ("1000 1000 1", "100 100 1")
    assert IDMap(7, gid=None).lines(1000, 100) == ("7 1000 1", "100 100 1")


def ids_of(lines, side):
    return [n for line in lines for n in range(line[side], line[side] + line[2])]


@given(st.lists(small, min_size=1, max_size=6))
def test_ranges_that_overlap_on_either_side_are_refused_and_no_others(lines):
    clash = any(len(set(ids_of(lines, side))) < len(ids_of(lines, side)) for side in (0, 1))
    inside = lines[0][0]
    if clash:
        with pytest.raises(ValueError, match="overlap"):
            IDMap.ranges(lines, uid=inside, gid=inside)
    else:
        id_map = IDMap.ranges(lines, uid=inside, gid=inside)
        assert id_map.uids == id_map.gids == tuple(IDMapLine(*line) for line in lines)


@given(ids, ids, counts)
def test_one_range_is_taken_as_long_as_it_ends_with_the_highest_id(inside, outside, count):
    line = (inside, outside, count)
    if max(inside, outside) + count - 1 <= MAX_ID:
        assert IDMap.ranges([line], uid=inside, gid=inside).uids == (IDMapLine(*line),)
    else:
        with pytest.raises(ValueError, match=r"^uids: "):
            IDMap.ranges([line], uid=inside, gid=inside)


@given(st.lists(small, min_size=1, max_size=6), ids, ids)
def test_the_command_is_somebody_of_the_ranges(lines, uid, gid):
    mapped = ids_of(lines, 0)
    try:
        IDMap.ranges(lines, uid=uid, gid=gid)
    except ValueError:
        return
    assert uid in mapped
    assert gid in mapped


def test_all_of_the_ids_can_be_mapped_at_once():
    assert IDMap.ranges([(0, 0, 2**32 - 1)]).uids == (IDMapLine(0, 0, 2**32 - 1),)


def test_a_map_is_no_longer_than_the_kernel_reads():
    fitting = [(n, n, 1) for n in range(340)]
    IDMap.ranges(fitting)
    long = [(0, 0, 1), *((4 * 10**9 + n, 4 * 10**9 + n, 1) for n in range(200))]
    with pytest.raises(ValueError, match=f"at most {MAX_BYTES} bytes"):
        IDMap.ranges(long)


@given(st.lists(small, max_size=6))
def test_what_is_written_is_what_the_kernel_shows(lines):
    lines = tuple(IDMapLine(*line) for line in lines)
    assert parse_id_map(map_text(lines)) == lines


def test_half_a_map_is_none():
    with pytest.raises(ValueError, match=r"^gids: "):
        IDMap(uids=[(0, 100000, 1)])
    with pytest.raises(ValueError, match=r"^gids: "):
        IDMap.ranges([(0, 100000, 1)], [])


@pytest.mark.parametrize("field", ["uid", "gid"])
@pytest.mark.parametrize("value", [-1, 2**32 - 1, True, "0", 0.0])
def test_a_strange_id_is_refused_by_its_field(field, value):
    with pytest.raises(ValueError, match=f"^{field}: "):
        IDMap(**({"uid": value} if field == "uid" else {"gid": value}))


@pytest.mark.parametrize(
    "id_map",
    [IDMap.root(), IDMap.same(), IDMap.subordinate(), IDMap.ranges([(0, 7, 9)], [(0, 9, 7)])],
    ids=["root", "same", "subordinate", "ranges"],
)
def test_a_map_is_a_value(id_map):
    again = pickle.loads(pickle.dumps(id_map))
    assert again == id_map
    assert hash(again) == hash(id_map)
