"""Masquerading by nftables, as bytes for a NETLINK_NETFILTER socket: nft(8), libnftnl's format.

The table belongs to the socket that made it (NFT_TABLE_F_OWNER): it goes with the socket, so also
when its maker is killed, and nobody else can change it.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from nsbox.errors import UnsupportedError
from nsbox.network.netlink_format import ACK, attribute, message, text

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # NFNL_MSG_BATCH_BEGIN and _END: linux/netfilter/nfnetlink.h
_NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEWTABLE, _NEWCHAIN, _NEWRULE = _NFTABLES | 0, _NFTABLES | 3, _NFTABLES | 6
_CREATE, _APPEND = 0x400, 0x800
_NESTED = 0x8000
_IPV4 = 2  # NFPROTO_IPV4
_OWNER = 2  # NFT_TABLE_F_OWNER
_POSTROUTING, _SRCNAT = 4, 100  # NF_INET_POST_ROUTING; NF_IP_PRI_NAT_SRC


def masquerade(sock: socket.socket, table: str, source: IPv4Address | None, link: str) -> None:
    """Have what leaves by a link, or comes from one address, bear the sender's own address.

    By a link (an empty `source`) or, with a `source`, by any link but `link`. The rule is there as
    long as the socket is. Raises `UnsupportedError` where this kernel cannot, `OSError` else.
    """
    sock.bind((0, 0))
    messages = list(_batch(table, source, link))
    sock.send(b"".join(messages))
    for _ in range(len(messages) - 2):
        answer = sock.recv(1 << 16)
        (number,) = struct.unpack_from("=i", answer, 16)
        if -number in (errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL, errno.EPROTONOSUPPORT):
            raise UnsupportedError(
                "uplink: this kernel cannot masquerade: it takes CONFIG_NF_TABLES, CONFIG_NFT_NAT "
                f"and CONFIG_NFT_MASQ, from 5.12 on ({os.strerror(-number)})"
            )
        if number:
            raise OSError(-number, f"nftables: {os.strerror(-number)}", table)


def _batch(table: str, source: IPv4Address | None, link: str) -> Iterator[bytes]:
    name, chain = text(1, table), "postrouting"
    yield _message(_BATCH_BEGIN, 0, 0, b"", subsystem=10)
    yield _message(_NEWTABLE, ACK | _CREATE, 1, name + _number(2, _OWNER))
    hook = attribute(4 | _NESTED, _number(1, _POSTROUTING) + _number(2, _SRCNAT))
    yield _message(_NEWCHAIN, ACK | _CREATE, 2, name + text(3, chain) + hook + text(7, "nat"))
    expressions = b"".join(
        attribute(1 | _NESTED, text(1, kind) + attribute(2 | _NESTED, content))
        for kind, content in _expressions(source, link)
    )
    rule = name + text(2, chain) + attribute(4 | _NESTED, expressions)
    yield _message(_NEWRULE, ACK | _CREATE | _APPEND, 3, rule)
    yield _message(_BATCH_END, 0, 4, b"", subsystem=10)


def _expressions(source: IPv4Address | None, link: str) -> Iterator[tuple[str, bytes]]:
    if source is not None:  # ip saddr SOURCE
        place = (
            _number(2, 1) + _number(3, 12) + _number(4, 4)
        )  # the network header's bytes 12 to 15
        yield "payload", _number(1, 8) + place
        yield "cmp", _number(1, 8) + _number(2, 0) + _data(source.packed)
    # oifname LINK, or another one
    yield "meta", _number(2, 7) + _number(1, 8)  # NFT_META_OIFNAME into the first register
    operator = 0 if source is None else 1
    yield "cmp", _number(1, 8) + _number(2, operator) + _data(link.encode().ljust(16, b"\0"))
    yield "masq", b""


def _data(value: bytes) -> bytes:
    return attribute(3 | _NESTED, attribute(1, value))


def _message(kind: int, flags: int, sequence: int, body: bytes, subsystem: int = 0) -> bytes:
    """Put a nfgenmsg and its attributes into a message: netlink(7), nfnetlink.h."""
    family = _IPV4 if kind >= _NFTABLES else 0
    content = struct.pack("=BB", family, 0) + struct.pack(">H", subsystem) + body
    return message(kind, flags, sequence, content)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))
