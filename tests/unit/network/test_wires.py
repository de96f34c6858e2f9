"""The addresses of wires: link-local, two of a kind, and none that somebody else goes by."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.network.wires import BETWEEN_BRIDGES, TO_THE_HOST

LINK_LOCAL = ipaddress.ip_network("169.254.0.0/16")
NOT_OURS = [
    ipaddress.ip_network(one) for one in ("169.254.0.0/24", "169.254.168.0/21", "169.254.255.0/24")
]
"""Of clouds, who tell a machine of itself there, and of RFC 3927."""

RANGES = pytest.mark.parametrize("wires", [TO_THE_HOST, BETWEEN_BRIDGES])


@RANGES
@pytest.mark.parametrize("number", [0, 1, 8063, 8191, 8192, 13567])
def test_the_ends_of_a_wire_are_neighbours_on_a_network_of_two(wires, number):
    one, other = wires.pair(number)
    assert one.network == other.network
    assert one.network.prefixlen == 31
    assert one.ip + 1 == other.ip


def networks(wires):
    first, last = wires.pair(0)[0].ip, wires.pair(wires.wires - 1)[1].ip
    return list(ipaddress.summarize_address_range(first, last))


@given(st.sampled_from([TO_THE_HOST, BETWEEN_BRIDGES]), st.integers(0, 2**31 - 1))
def test_every_wire_is_within_its_range(wires, number):
    assert any(wires.pair(number)[1].ip in one for one in networks(wires))


@RANGES
def test_no_wire_has_an_address_by_which_a_cloud_tells_a_machine_of_itself(wires):
    for one in networks(wires):
        assert one.subnet_of(LINK_LOCAL)
        assert not any(one.overlaps(other) for other in NOT_OURS)


def test_a_way_out_and_a_route_never_have_the_same_addresses():
    for one in networks(TO_THE_HOST):
        assert not any(one.overlaps(other) for other in networks(BETWEEN_BRIDGES))
