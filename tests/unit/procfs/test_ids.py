"""Which ids are mapped and which may be, as the kernel and shadow(5)'s tools write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.procfs import IDMapLine, SubID, parse_id_map, parse_subid

FIRST = "         0          0 4294967295\n"
BOX = "         0       1000          1\n         1     100000      65536\n"


def test_the_first_user_namespace_maps_every_id_to_itself():
    assert parse_id_map(FIRST) == (IDMapLine(0, 0, 4294967295),)


def test_a_map_of_ranges_is_read():
    assert parse_id_map(BOX) == (IDMapLine(0, 1000, 1), IDMapLine(1, 100000, 65536))


def test_a_map_that_was_not_written_yet_is_empty():
    assert parse_id_map("") == ()


def test_an_id_that_the_reader_has_no_name_for_is_kept():
    assert parse_id_map("0 4294967295 1\n") == (IDMapLine(0, 4294967295, 1),)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "0 0",
        "0 0 1 1",
        "0 0 0",
        "-1 0 1",
        "0 0 4294967297",
        "1 0 4294967296",
        "0 4294967296 1",
        "a 0 1",
        "0\x0c0 1",
        "0\u20030 1",
        "\u0660 0 1",
        "0_0 0 1",
    ],
)
def test_a_line_that_maps_nothing_is_refused(line):
    with pytest.raises(ValueError, match="id map, line 2: expected "):
        parse_id_map(f"0 0 1\n{line}\n")


@st.composite
def map_lines(draw):
    inside = draw(st.integers(0, 2**32 - 1))
    outside = draw(st.integers(0, 2**32 - 1))
    return IDMapLine(inside, outside, draw(st.integers(1, 2**32 - inside)))


@given(st.lists(map_lines(), max_size=5))
def test_maps_are_read_back(lines):
    text = "".join(f"{line.inside:10} {line.outside:10} {line.count:10}\n" for line in lines)
    assert parse_id_map(text) == tuple(lines)


def test_ranges_are_read_by_name_and_by_uid_and_comments_are_passed_over():
    text = "# of users\n\nme:100000:65536\n \t\n1001:165536:65536\nme:400000:10\n"
    assert parse_subid(text) == (
        SubID("me", 100000, 65536),
        SubID("1001", 165536, 65536),
        SubID("me", 400000, 10),
    )


@pytest.mark.parametrize(
    "line", ["me:1", "me:a:1", ":1:1", "me:1:-1", "me 1 1", "me:1:1:1", "me:1:"]
)
def test_a_line_that_grants_nothing_is_refused(line):
    with pytest.raises(ValueError, match="subordinate ids, line 1: expected "):
        parse_subid(line + "\n")


owners = st.text(
    st.characters(exclude_characters=":#\n", exclude_categories=["Cs"]), min_size=1, max_size=10
)
subids = st.builds(SubID, owners, st.integers(0, 2**32), st.integers(0, 2**32))


@given(st.lists(subids, max_size=5))
def test_ranges_are_read_back(ranges):
    text = "".join(f"{one.owner}:{one.start}:{one.count}\n" for one in ranges)
    assert parse_subid(text) == tuple(ranges)


pieces = st.lists(st.sampled_from(["0", "1", "4294967295", " ", "\n", ":", "#", "me", "-", "\t"]))
texts = st.text() | pieces.map("".join)


@given(texts)
def test_any_text_gives_a_map_or_a_value_error(attempt, text):
    lines, complaint = attempt(parse_id_map, text)
    if complaint is not None:
        assert complaint.startswith("id map, line ")
    else:
        assert all(0 < line.count <= 2**32 - line.inside for line in lines)


@given(texts)
def test_any_text_gives_ranges_or_a_value_error(attempt, text):
    ranges, complaint = attempt(parse_subid, text)
    if complaint is not None:
        assert complaint.startswith("subordinate ids, line ")
    else:
        assert all(f"{one.owner}:" in text for one in ranges)
