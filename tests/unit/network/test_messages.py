"""Requests as bytes: what pyroute2 makes of the same request is the measure."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from nsbox.network import requests
from nsbox.network.addresses import interface
from nsbox.network.messages import encode

BOTH = [interface("10.77.0.2/24"), interface("fd77::2/64")]
INDEXES = st.integers(1, 1 << 20)


def parsed(kind, request, sequence=7):
    data = encode(request, sequence)
    assert struct.unpack_from("=I", data)[0] == len(data)
    message = kind(data)
    message.decode()
    assert message["header"]["sequence_number"] == sequence
    return message


@given(INDEXES, INDEXES, st.integers(0, 1000))
def test_a_wire_is_laid_into_another_namespace(index, master, fd):
    message = parsed(ifinfmsg, requests.plug(index, master, fd, BOTH))
    assert (message["index"], message["flags"], message["change"]) == (index, 1, 1)
    assert message.get_attr("IFLA_IFNAME") == f"nsb{index}"
    assert message.get_attr("IFLA_MASTER") == master
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer["index"] == requests.MACHINE_INDEX
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_ADDRESS") == "02:00:0a:4d:00:02"
    assert peer.get_attr("IFLA_NET_NS_FD") in (fd, None)


def test_a_machine_has_its_addresses_and_its_way_out():
    four, six, up, out4, out6 = requests.machine(
        BOTH, [interface("10.77.0.1/24"), interface("fd77::1/64")]
    )
    message = parsed(ifaddrmsg, four)
    assert (message["family"], message["prefixlen"], message["index"]) == (2, 24, 2)
    for name, value in (
        ("LOCAL", "10.77.0.2"),
        ("ADDRESS", "10.77.0.2"),
        ("BROADCAST", "10.77.0.255"),
    ):
        assert message.get_attr(f"IFA_{name}") == value
    message = parsed(ifaddrmsg, six)
    assert (message["family"], message["prefixlen"], message["flags"]) == (10, 64, 2)
    assert message.get_attr("IFA_ADDRESS") == "fd77::2"
    assert parsed(ifinfmsg, up)["flags"] == 1
    for request, family, gateway in ((out4, 2, "10.77.0.1"), (out6, 10, "fd77::1")):
        message = parsed(rtmsg, request)
        assert (message["family"], message["dst_len"], message["table"]) == (family, 0, 254)
        assert message.get_attr("RTA_GATEWAY") == gateway
        assert message.get_attr("RTA_OIF") == 2
        assert message.get_attr("RTA_DST") is None


def test_a_route_to_a_network_names_it():
    message = parsed(rtmsg, requests.route("10.78.0.0/16", "169.254.64.1", 12))
    assert (message["dst_len"], message.get_attr("RTA_DST")) == (16, "10.78.0.0")


@given(INDEXES, INDEXES)
def test_a_port_moves_and_a_link_goes_down(index, master):
    message = parsed(ifinfmsg, requests.move(index, master))
    assert (message["index"], message["change"]) == (index, 0)
    assert message.get_attr("IFLA_MASTER") == master
    message = parsed(ifinfmsg, requests.down(index))
    assert (message["flags"], message["change"]) == (0, 1)


def test_a_link_is_kept_from_making_an_address_before_it_is_up():
    message = parsed(ifinfmsg, requests.without_link_local(9))
    assert (message["index"], message["change"]) == (9, 0)
    inside = message.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
    assert inside.get_attr("IFLA_INET6_ADDR_GEN_MODE") == 1


def test_what_is_asked_seldom_is_left_to_pyroute2():
    seldom = [requests.forget(9), requests.remove(9), requests.impair(9, 1, 0, 0)]
    seldom += [next(iter(requests.bridge(9))), requests.enter(3, 4, 9)]
    assert [encode(request, 1) for request in seldom] == [None] * 5
