"""Requests are values that can be read before they are sent."""

import pytest

from nsbox.network import requests
from nsbox.network.addresses import interface

BOTH = [interface("10.77.0.2/24"), interface("fd77::2/64")]


def test_a_request_reads_as_what_it_asks():
    assert str(requests.up(11)) == "RTM_SETLINK(index=11, state='up')"
    assert requests.up(11).reference == "rtnetlink(7)"


def test_a_machine_gets_its_addresses_before_its_link_is_up():
    listed = list(requests.machine(BOTH))
    assert [request.message for request in listed] == ["RTM_NEWADDR", "RTM_NEWADDR", "RTM_SETLINK"]
    assert [request.arguments.get("broadcast") for request in listed] == ["10.77.0.255", None, None]


def test_a_machine_without_ipv6_makes_no_address_of_that_kind():
    first = next(iter(requests.machine(BOTH[:1])))
    assert str(first) == "RTM_SETLINK(index=2, addr_gen_mode=1)"


def test_the_two_ends_of_a_wire_have_different_indexes():
    assert requests.MACHINE_INDEX < requests.FIRST_INDEX


def test_a_network_of_two_addresses_has_no_broadcast_address():
    (_, address, _) = requests.machine([interface("10.0.0.1/31")])
    assert "broadcast" not in address.arguments


@pytest.mark.parametrize(("delay", "told"), [(0, 0), (0.05, 50_000), (1, 1_000_000)])
def test_a_delay_is_told_in_microseconds(delay, told):
    assert requests.impair(11, delay, 0, 0.5).arguments["delay"] == told
    assert requests.impair(11, delay, 0, 0.5).arguments["loss"] == 50
