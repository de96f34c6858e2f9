"""The addresses of a network: each given once, none that stands for something else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.errors import NsboxError
from nsbox.network.addresses import Pool, hardware_address, interface, interfaces


@st.composite
def own_addresses(draw, prefixes=(1, 31), versions=(4, 6)):
    version = draw(st.sampled_from(versions))
    bits = 32 if version == 4 else 128
    low, high = prefixes
    prefix = draw(st.integers(bits - 32 + low, bits - 32 + high))
    number = draw(st.integers(0, 2**bits - 1))
    kind = ipaddress.IPv4Interface if version == 4 else ipaddress.IPv6Interface
    return kind((number, prefix))


def usable(own):
    try:
        return interface(str(own)) == own
    except ValueError:
        return False


@given(own_addresses().filter(usable), st.lists(st.booleans(), max_size=60))
def test_no_address_is_with_two_machines_and_all_are_of_the_network(own, takes):
    pool, held = Pool(own), []
    for take in takes:
        if take and pool.free:
            held.append(pool.take())
        elif held:
            pool.give_back(held.pop(0))
        assert len(set(held)) == len(held)
        for one in held:
            assert one.network == own.network
            assert one.ip != own.ip


@given(own_addresses(prefixes=(24, 31), versions=(4,)).filter(usable))
def test_a_small_ipv4_network_gives_out_all_its_hosts_and_then_none(own):
    pool = Pool(own)
    given_out = [pool.take() for _ in range(pool.free)]
    assert {one.ip for one in given_out} | {own.ip} == set(own.network.hosts())
    with pytest.raises(NsboxError, match="no address left"):
        pool.take()
    pool.give_back(given_out[-1])
    assert pool.take() == given_out[-1]


@given(own_addresses(prefixes=(24, 31), versions=(6,)).filter(usable))
def test_a_small_ipv6_network_gives_out_all_its_hosts_and_then_none(own):
    pool = Pool(own)
    given_out = {pool.take().ip for _ in range(pool.free)}
    assert given_out | {own.ip} == set(own.network.hosts())
    assert not pool.free


def test_machines_get_the_addresses_after_the_bridge_in_order():
    pool = Pool(interface("10.77.0.1/24"))
    assert [str(pool.take()) for _ in range(2)] == ["10.77.0.2/24", "10.77.0.3/24"]
    pool = Pool(interface("fd77::1/64"))
    assert str(pool.take()) == "fd77::2/64"


def test_an_address_that_was_given_back_comes_last_again():
    pool = Pool(interface("10.0.0.1/29"))
    first = pool.take()
    pool.give_back(first)
    assert [str(pool.take().ip) for _ in range(5)] == [f"10.0.0.{n}" for n in (3, 4, 5, 6, 2)]


def test_a_network_is_as_large_as_its_prefix_says():
    assert Pool(interface("10.0.0.1/8")).free == 2**24 - 3
    assert Pool(interface("fd00::1/64")).free == 2**64 - 2
    assert Pool(interface("10.0.0.0/31")).free == 1


@pytest.mark.parametrize(
    "text",
    [
        "10.77.0.1",
        "10.77.0.1/33",
        "10.77.0.1/32",
        "10.77.0.0/24",
        "10.77.0.255/24",
        "fd77::/64",
        "fd77::1/128",
        "fe80::1/64",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "::1/127",
        "no address/24",
        "",
        None,
        7,
        ("10.77.0.1", 24),
        ipaddress.ip_interface("10.77.0.1/24"),
    ],
)
def test_what_no_bridge_can_have_is_refused_by_the_name_of_the_field(text):
    with pytest.raises(ValueError, match=r"^addresses: "):
        interface(text)


@pytest.mark.parametrize(
    "texts", [[], ["10.0.0.1/8", "10.77.0.1/24"], ["fd77::1/64", "fd77::2/64"]]
)
def test_a_bridge_has_an_address_and_no_network_twice(texts):
    with pytest.raises(ValueError, match=r"^addresses: "):
        interfaces(texts)


def test_a_bridge_can_be_on_several_networks():
    assert len(interfaces(["10.0.0.1/24", "fd77::1/64", "10.0.1.1/24"])) == 3


@given(own_addresses())
def test_a_hardware_address_is_of_one_station_and_ours_to_give(own):
    first, *rest = (int(part, 16) for part in hardware_address(own).split(":"))
    assert (first & 0b11, len(rest)) == (0b10, 5)
