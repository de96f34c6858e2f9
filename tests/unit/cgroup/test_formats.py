"""Parsers give the value or an error, and never a wrong value."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.cgroup import formats, pressure
from nsbox.cgroup.formats import UNLIMITED

KEYS = st.text(string.ascii_lowercase + "_.", min_size=1, max_size=8)
COUNTS = st.integers(0, 1 << 60)
PARSERS = [
    formats.single,
    formats.limit,
    formats.flag,
    formats.flat,
    formats.nested,
    formats.keyed_limits,
    formats.per_device,
    formats.number_list,
    formats.percentage,
    pressure.parse,
]


@given(st.text(alphabet="max 0123456789\n=:.-,RWTotald", max_size=40), st.sampled_from(PARSERS))
def test_noise_gives_a_value_or_a_value_error(text, parse):
    try:
        value = parse(text)
    except ValueError:
        return
    # Whatever was taken holds no number that the text has not.
    assert numbers_in(value) <= numbers_of(text, expand=parse is formats.number_list)


def numbers_in(value: object) -> set[float]:
    if isinstance(value, bool) or value in (None, "max"):
        return set()
    if isinstance(value, int | float):
        return {value}
    if isinstance(value, dict):
        return set().union(*map(numbers_in, value.values()))
    if isinstance(value, frozenset):
        return set(value)
    return set().union(
        *(numbers_in(getattr(value, name)) for name in value.__slots__ if name[0] != "_")
    )


def numbers_of(text: str, *, expand: bool) -> set[float]:
    for other in "max =:-,RWTotald\n":
        text = text.replace(other, " ")
    found = set()
    for word in text.split():
        try:
            found.add(int(word) if word.isdecimal() else float(word))
        except ValueError:
            continue
    if expand and found:
        found |= {float(n) for n in range(int(min(found)), int(max(found)) + 1)}
    return found


@given(st.dictionaries(KEYS, COUNTS))
def test_flat_keyed_files(counts):
    assert formats.flat("".join(f"{key} {n}\n" for key, n in counts.items())) == counts


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, COUNTS | st.just("max"))))
def test_nested_keyed_files(table):
    lines = (f"{key} {' '.join(f'{k}={v}' for k, v in row.items())}" for key, row in table.items())
    assert formats.nested("".join(f"{line}\n" for line in lines)) == table


@given(st.frozensets(st.integers(0, 2000), min_size=1))
def test_lists_of_numbers_both_ways(numbers):
    assert formats.number_list(formats.list_text(numbers)) == numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [("max\n", "max"), ("-1\n", "max"), ("9223372036854771712\n", "max"), ("0\n", 0), ("42", 42)],
)
def test_limits(text, value):
    assert formats.limit(text) == value


def test_the_largest_counter_of_any_page_size_is_no_limit():
    for page in (4 << 10, 16 << 10, 64 << 10):
        assert ((1 << 63) - 1) // page * page >= UNLIMITED


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (formats.single, ""),
        (formats.single, "1\n2\n"),
        (formats.single, "+1"),
        (formats.single, "1_0"),
        (formats.single, "\u0661"),
        (formats.limit, "-2"),
        (formats.flag, "2\n"),
        (formats.flat, "a 1\na 2\n"),
        (formats.flat, "a  1\n"),
        (formats.flat, "\n"),
        (formats.nested, "8:0 rbps\n"),
        (formats.nested, "8:0 a=1 a=2\n"),
        (formats.per_device, "8:0 Read\n"),
        (formats.per_device, "sda Read 5\n"),
        (formats.per_device, "Total x\n"),
        (formats.number_list, "0-"),
        (formats.number_list, "1-0"),
        (formats.number_list, "0-70000"),
        (formats.percentage, "nan"),
        (formats.percentage, "1e5"),
        (pressure.parse, "some avg10=0.00 avg60=0.00 avg300=0.00\n"),
        (pressure.parse, "most avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    ],
)
def test_what_breaks_the_format_is_refused(parse, text):
    with pytest.raises(ValueError, match="expected"):
        parse(text)


def test_sub_keys_that_nobody_asked_for_are_passed_over():
    text = "8:0 rbytes=1 cost.vrate=100.5 more=max\n"
    assert formats.nested(text, only=("rbytes",)) == {"8:0": {"rbytes": 1}}


def test_the_total_of_v1_is_left_out():
    assert formats.per_device("8:0 Read 5\n8:0 Total 5\nTotal 5\n") == {
        "8:0": {"Read": 5, "Total": 5}
    }


def test_pressure():
    text = (
        "some avg10=1.50 avg60=0.25 avg300=0.01 total=123456\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    told = pressure.parse(text)
    assert told.some is not None
    assert (told.some.avg10, told.some.avg60, told.some.avg300, told.some.total) == (
        1.5,
        0.25,
        0.01,
        123456,
    )
    assert pressure.parse(text.split("\n", maxsplit=1)[0]).full is None
