"""Requests as bytes, for those that each machine takes: rtnetlink(7), netlink(7).

pyroute2 speaks of everything, and takes about two milliseconds of the interpreter's time for each
machine to do so; what is asked for hundreds of them is written here. What is not is left to it.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from nsbox.network.netlink_format import ACK, attribute, message, text
from nsbox.network.requests import Request

_NEWLINK, _SETLINK, _NEWADDR, _NEWROUTE = 16, 19, 20, 24
_ERROR = 2  # NLMSG_ERROR, an answer: with 0 for all is well
_NEW = 0x600  # NLM_F_CREATE | NLM_F_EXCL
_UP = 1  # IFF_UP
_MAIN, _STATIC, _UNICAST = 254, 4, 1  # RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST
_SETS = ({"index", "state"}, {"index", "master"}, {"index", "addr_gen_mode"})
"""What of a link is set by a message from here."""


def encode(request: Request, sequence: int) -> bytes | None:
    """Return a request as a message, None for one that is not written here."""
    given = request.arguments
    match request.message:
        case "RTM_NEWLINK" if given.get("kind") == "veth":
            return _message(_NEWLINK, _NEW, sequence, _veth(given))
        case "RTM_SETLINK" if given.keys() in _SETS:
            return _message(_SETLINK, 0, sequence, _setting(given))
        case "RTM_NEWADDR":
            return _message(_NEWADDR, _NEW, sequence, _address(given))
        case "RTM_NEWROUTE":
            return _message(_NEWROUTE, _NEW, sequence, _route(given))
    return None


def send(sock: socket.socket, messages: Sequence[bytes]) -> list[int]:
    """Send messages at once; return the errno that each is answered with, 0 where all is well."""
    asked = {struct.unpack_from("=I", one, 8)[0] for one in messages}
    sock.send(b"".join(messages))
    answers: list[int] = []
    while len(answers) < len(messages):
        received = sock.recv(1 << 17)
        while received:
            size, kind, _, sequence = struct.unpack_from("=IHHI", received)
            if size < 16:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            if kind == _ERROR and sequence in asked:  # else to one whose sender was interrupted
                answers.append(-struct.unpack_from("=i", received, 16)[0])
            received = received[(size + 3) // 4 * 4 :]
    return answers


def _veth(given: Mapping[str, Any]) -> bytes:
    peer: Mapping[str, Any] = given["peer"]
    other = _ifinfo(peer.get("index", 0)) + text(3, peer["ifname"])
    if "address" in peer:
        other += attribute(1, bytes.fromhex(peer["address"].replace(":", "")))
    if "net_ns_fd" in peer:
        other += _number(28, peer["net_ns_fd"])
    info = text(1, "veth") + attribute(2, attribute(1, other))
    master = _number(10, given["master"]) if "master" in given else b""
    up = _ifinfo(given["index"], _UP, _UP)
    return up + text(3, given["ifname"]) + master + attribute(18, info)


def _setting(given: Mapping[str, Any]) -> bytes:
    if "addr_gen_mode" in given:  # IFLA_AF_SPEC, AF_INET6, IFLA_INET6_ADDR_GEN_MODE
        mode = attribute(8, bytes([given["addr_gen_mode"]]))
        return _ifinfo(given["index"]) + attribute(26, attribute(socket.AF_INET6, mode))
    if "master" in given:
        return _ifinfo(given["index"]) + _number(10, given["master"])
    return _ifinfo(given["index"], _UP if given["state"] == "up" else 0, _UP)


def _address(given: Mapping[str, Any]) -> bytes:
    flags = given.get("flags", 0)
    head = struct.pack("=BBBBI", given["family"], given["prefixlen"], flags, 0, given["index"])
    packed = ipaddress.ip_address(given["address"]).packed
    body = attribute(1, packed) + attribute(2, packed)  # IFA_ADDRESS, IFA_LOCAL
    if "broadcast" in given:
        body += attribute(4, ipaddress.ip_address(given["broadcast"]).packed)
    return head + body


def _route(given: Mapping[str, Any]) -> bytes:
    network = ipaddress.ip_network(given["dst"])
    kinds = _MAIN, _STATIC, 0, _UNICAST
    head = struct.pack("=8BI", given["family"], network.prefixlen, 0, 0, *kinds, 0)
    body = attribute(1, network.network_address.packed) if network.prefixlen else b""
    gateway = ipaddress.ip_address(given["gateway"]).packed
    return head + body + attribute(5, gateway) + _number(4, given["oif"])


def _ifinfo(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return message(kind, ACK | flags, sequence, body)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))
