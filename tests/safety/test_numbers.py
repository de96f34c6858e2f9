"""What comes as text or as a number from elsewhere is taken strictly, or refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import BoxSpec, IDMap, UnsupportedError
from nsbox.network.addresses import hardware_address, interface
from nsbox.network.names import lines
from nsbox.oci import from_config

MAX_ID = (1 << 32) - 2  # the last one is "no change" to the kernel

not_ids = st.one_of(
    st.floats(),
    st.booleans(),
    st.binary(),
    st.integers(max_value=-1),
    st.integers(min_value=MAX_ID + 1),
    st.lists(st.integers()),
)


@given(not_ids)
def test_what_is_no_id_is_refused_by_the_name_of_its_field(value):
    for field, make in {
        "uid": lambda: IDMap(value),
        "gid": lambda: IDMap(0, gid=value),
        "user": lambda: BoxSpec(user=value),
        "group": lambda: BoxSpec(group=value),
    }.items():
        with pytest.raises((ValueError, TypeError), match=field):
            make()


@given(st.one_of(not_ids, st.text("0123456789+-xe_ \u0661", max_size=12)))
def test_an_id_in_a_document_is_a_number_and_nothing_else(value):
    for field in ("uid", "gid"):
        user = {"uid": 0, "gid": 0, field: value}
        command = {"cwd": "/", "args": ["true"], "user": user, "noNewPrivileges": True}
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": "/"},
            "linux": {"namespaces": [{"type": "mount"}]},
            "process": command,
        }
        with pytest.raises((ValueError, UnsupportedError), match=r"^process\.user"):
            from_config(config)


@given(st.text(max_size=12).filter(lambda text: text != "root"))
def test_text_that_looks_like_an_id_is_a_name_and_no_id(value):
    with pytest.raises(ValueError, match="user"):
        BoxSpec(user=f"0{value}")


sizes = st.integers(0, 70_000)


@given(sizes)
def test_no_name_of_any_length_reaches_a_message_to_the_kernel(length):
    """Names of links are ours; a machine's goes into a file, bounded as host names are."""
    if length > 64:
        with pytest.raises(ValueError, match="hostname"):
            BoxSpec(hostname="x" * length)


octets = st.integers(-1, 300)
written = st.one_of(
    st.text(max_size=300),
    st.text("0123456789abcdef.:/%", max_size=300),
    st.builds("{}.{}.{}.{}/{}".format, octets, octets, octets, octets, octets),
)


@given(written)
def test_an_address_is_one_or_is_refused(text):
    """What is an address has the length of one, whatever the text was like."""
    try:
        found = interface(text)
    except ValueError:
        return
    assert len(found.packed) in (4, 16)
    assert 0 <= found.network.prefixlen <= found.max_prefixlen
    assert re.fullmatch("(..:){5}..", hardware_address(found))


@given(st.none() | st.text(max_size=300), st.integers(0, 300).map("n".__mul__))
def test_a_machines_name_is_one_word_of_a_line_or_none(any_text, long):
    for name in (any_text, long):
        for line in lines([interface("10.0.0.1/8")], name):
            assert line == b"10.0.0.1\t%s\n" % name.encode()
            assert len(line.split()) == 2
