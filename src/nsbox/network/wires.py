"""Wires between networks: what is behind a bridge, and how packets get there."""

import errno
import itertools
import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface

import attrs

from nsbox.errors import StepError, UnsupportedError
from nsbox.namespace import Namespace
from nsbox.network import namespaces, requests
from nsbox.network.addresses import Interface
from nsbox.network.netlink import Netlink
from nsbox.network.requests import Request

_FORWARDING = {
    4: "/proc/sys/net/ipv4/ip_forward",
    6: "/proc/sys/net/ipv6/conf/all/forwarding",
}
_BRIDGED = "/proc/sys/net/bridge/bridge-nf-call-iptables"
"""Whether what passes a bridge of a namespace is shown to its rules for what is routed.

It would be shown to them twice on its way through two bridges, and be done with before it is routed
at all. See "bridge-nf-call-iptables" in ip-sysctl.rst.
"""

_numbers = itertools.count()
_BEHIND = IPv6Interface("fe80::1/64"), IPv6Interface("fe80::2/64")


@attrs.frozen
class Side:
    """One end of a wire to be: a bridge's namespace, and the index that the link gets there."""

    namespace: Namespace
    netlink: Netlink
    index: int
    own: tuple[Interface, ...]


def number() -> int:
    """Return a number that no other wire of this process has."""
    return next(_numbers)


@attrs.frozen
class Range:
    """Where wires have the addresses of their ends: RFC 3927, RFC 3021."""

    first: IPv4Address
    wires: int

    def pair(self, count: int) -> tuple[IPv4Interface, IPv4Interface]:
        """Return the addresses of both ends of a wire, by its number; these recur in the end."""
        one = self.first + 2 * (count % self.wires)
        return IPv4Interface((one, 31)), IPv4Interface((one + 1, 31))


# Clouds tell a machine of itself at 169.254.169.254, and have more about there. RFC 3927 keeps the
# first and the last 256 addresses.
TO_THE_HOST = Range(IPv4Address("169.254.64.0"), 8192)
BETWEEN_BRIDGES = Range(IPv4Address("169.254.192.0"), 8064)


def forward(bridge: Namespace, owner: Namespace | None, own: tuple[Interface, ...]) -> None:
    """Have the kernel pass on what comes to a bridge's namespace and is for elsewhere."""
    files = {_FORWARDING[version]: b"1" for version in sorted({one.version for one in own})}
    if os.path.exists(_BRIDGED):
        files[_BRIDGED] = b"0"
    namespaces.write(bridge, owner, files)


def join(one: Side, other: Side) -> None:
    """Lay a wire between two bridges' namespaces, and tell each what is behind it.

    Raises `UnsupportedError` where the caller has no rights in both at once.
    """
    ours, theirs = BETWEEN_BRIDGES.pair(number())
    peer = {
        "index": other.index,
        "ifname": f"nsb{other.index}",
        "net_ns_fd": other.namespace.fileno(),
    }
    try:
        one.netlink.send([requests.veth(one.index, None, peer)])
    except StepError as error:
        if isinstance(error, PermissionError):
            raise UnsupportedError(
                "route: without CAP_SYS_ADMIN both bridges must be in one user namespace: "
                "Bridge.create(..., beside=other)"
            ) from None
        raise
    has_ipv6 = any(interface.version == 6 for interface in one.own + other.own)
    try:
        for side, here, there in ((one, 0, 1), (other, 1, 0)):
            behind = (other if side is one else one).own
            address, gateway = (ours, theirs)[here], (ours, theirs)[there]
            addresses: list[Interface] = [address]
            if has_ipv6:
                addresses.append(_BEHIND[here])
            side.netlink.send(
                [
                    *requests.addressed(side.index, addresses),
                    requests.up(side.index),
                    *_routes(side.index, behind, gateway, _BEHIND[there]),
                ]
            )
    except BaseException:
        one.netlink.send([requests.remove(one.index)], ignored={errno.ENODEV})
        raise


def _routes(
    index: int, behind: tuple[Interface, ...], by_ipv4: IPv4Interface, by_ipv6: IPv6Interface
) -> Iterator[Request]:
    for one in behind:
        gateway = by_ipv4 if one.version == 4 else by_ipv6
        yield requests.route(str(one.network), str(gateway.ip), index)
