"""The bytes that a NETLINK_NETFILTER socket is sent: whole messages, and each says its length."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from nsbox.network import nftables


def messages(data):
    while data:
        size, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data)
        assert 16 <= size <= len(data)
        yield kind, flags, sequence, data[20:size]
        data = data[size:]


def attributes(data):
    found = {}
    while data:
        size, kind = struct.unpack_from("=HH", data)
        assert 4 <= size <= len(data)
        found[kind & 0x3FFF] = data[4:size]
        data = data[(size + 3) // 4 * 4 :]
    return found


LINKS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=15)


@given(st.none() | st.ip_addresses(v=4), LINKS)
def test_a_batch_is_a_table_a_chain_and_a_rule_in_this_order(source, link):
    batch = b"".join(nftables._batch("nsbox", source, link))
    begin, table, chain, rule, end = messages(batch)
    assert (begin[0], end[0]) == (0x10, 0x11)
    assert [kind & 0xFF for kind, *_ in (table, chain, rule)] == [0, 3, 6]
    assert attributes(table[3]) == {1: b"nsbox\0", 2: struct.pack(">I", 2)}  # owned by the socket
    assert attributes(chain[3])[7] == b"nat\0"
    assert link.encode().ljust(16, b"\0") in rule[3]
    assert (source is None) or source.packed in rule[3]
