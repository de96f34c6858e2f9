"""Amounts of memory, as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.sizes import MAX_SIZE, size_in_bytes

K, M, G, T = 1 << 10, 1 << 20, 1 << 30, 1 << 40

sizes = st.integers(1, MAX_SIZE)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("64M", 64 * M),
        ("64m", 64 * M),
        ("64MB", 64 * M),
        ("64MiB", 64 * M),
        (" 64 M ", 64 * M),
        ("1K", K),
        ("2g", 2 * G),
        ("3T", 3 * T),
        ("10B", 10),
        ("007", 7),
    ],
)
def test_a_size_is_read_with_its_binary_unit(text, size):
    assert size_in_bytes(text, "size") == size


@given(sizes)
def test_a_number_is_taken_for_bytes(size):
    assert size_in_bytes(size, "size") == size
    assert size_in_bytes(str(size), "size") == size


@given(st.integers(1, MAX_SIZE // T), st.sampled_from([("K", K), ("M", M), ("G", G), ("T", T)]))
def test_a_unit_multiplies(number, unit):
    assert size_in_bytes(f"{number}{unit[0]}", "size") == number * unit[1]


@given(st.integers(max_value=0) | st.integers(MAX_SIZE + 1))
def test_what_the_kernel_could_not_take_is_refused(number):
    for value in (number, str(number)):
        with pytest.raises(ValueError, match=r"^memory_max: "):
            size_in_bytes(value, "memory_max")


@pytest.mark.parametrize(
    "text", ["8388608T", "64iB", "64 MM", "6 4M", "M", "", "\u0664M", "1\u212a", "0x10"]
)
def test_text_that_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"^memory_max: "):
        size_in_bytes(text, "memory_max")


@given(st.text() | st.from_regex(re.compile(r"\d*\s?[kMGTiBx]*", re.ASCII), fullmatch=True))
def test_any_text_is_a_size_or_is_refused_by_the_name_of_its_field(attempt, text):
    size, complaint = attempt(lambda value: size_in_bytes(value, "size"), text)
    assert (size is None) != (complaint is None)
    if complaint is None:
        assert 0 < size <= MAX_SIZE
        assert int(re.match(r"\s*(\d+)", text)[1]) <= size
    else:
        assert complaint.startswith("size: ")
