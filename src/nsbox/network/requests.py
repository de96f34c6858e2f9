"""What is asked of the kernel for a network, as values: requests of rtnetlink(7).

Links get their indexes from us, so that a request can name what one before it makes. Nothing here
is sent: see `nsbox.network.netlink`.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from nsbox.network.addresses import Interface, hardware_address

MACHINE_LINK = "eth0"
"""What a machine knows its link as."""

MACHINE_INDEX = 2
"""The index of that link; of loopback it is 1.

It must differ from the index of the bridge's end, or else the kernel takes its time to tell the
bridge that the link is up: it takes a link of this index to be a link of itself.
"""

FIRST_INDEX = 10
"""The lowest index of a link in the bridge's namespace."""

NO_IPV6 = frozenset({errno.EAFNOSUPPORT})
"""The answer of a kernel without IPv6 to what is said of it."""

_UP = 1  # IFF_UP: netdevice(7)
_ROOT = 0xFFFFFFFF  # TC_H_ROOT: tc(8)
_NODAD = 2  # IFA_F_NODAD: nobody else has the address, so nobody is asked


@attrs.frozen
class Request:
    """One request; `str()` shows it."""

    message: str
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The message's type, such as ``RTM_NEWLINK``."""
        return self.message

    @property
    def path(self) -> None:
        """It is about no file."""
        return None

    @property
    def reference(self) -> str:
        """Its manual page."""
        return "rtnetlink(7)"

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.message}({shown})"


def _request(message: str, **arguments: Any) -> Request:
    return Request(message, arguments)


def bridge(index: int, addresses: Sequence[Interface] = ()) -> Iterator[Request]:
    """Make a bridge, with addresses of its own or without, and bring it up.

    Its hardware address is given to it; it would else be the lowest of its ports', and change.
    """
    own = {"address": hardware_address(addresses[0])} if addresses else {}
    yield _request(
        "RTM_NEWLINK",
        ifname=f"br{index}",
        index=index,
        kind="bridge",
        **own,
        br_stp_state=0,
        br_mcast_snooping=0,
    )
    yield from addressed(index, addresses)
    yield up(index)


def veth(index: int, master: int | None, peer: Mapping[str, Any]) -> Request:
    """Make two links that are the ends of one wire, mostly a port of a bridge. See veth(4)."""
    return _request(
        "RTM_NEWLINK",
        ifname=f"nsb{index}",
        index=index,
        kind="veth",
        **({} if master is None else {"master": master}),
        peer=peer,
    )


def plug(index: int, master: int, namespace: int, addresses: Sequence[Interface]) -> Request:
    """Lay a wire from a port of a bridge into a machine's network namespace, a descriptor."""
    return veth(
        index,
        master,
        {
            "index": MACHINE_INDEX,
            "ifname": MACHINE_LINK,
            "address": hardware_address(addresses[0]),
            "net_ns_fd": namespace,
        },
    )


def machine(
    addresses: Sequence[Interface], gateways: Sequence[Interface] = ()
) -> Iterator[Request]:
    """Give a machine's link its addresses and bring it up; sent in the machine's namespace.

    Where nothing is behind the bridge there is no default route: the kernel says "unreachable" at
    once then, instead of leaving a program to wait for an answer.
    """
    if all(address.version == 4 for address in addresses):
        yield without_link_local(MACHINE_INDEX)
    yield from addressed(MACHINE_INDEX, addresses)
    yield up(MACHINE_INDEX)
    yield from defaults(gateways)


def without_link_local(index: int) -> Request:
    """Have a link make no IPv6 address of its own, before it is up: ip-link(8), "addrgenmode".

    What each machine asks about such an address, and tells, goes to all others on the bridge: for
    a thousand machines that is what takes most of the time.
    """
    return _request("RTM_SETLINK", index=index, addr_gen_mode=1)


def defaults(gateways: Sequence[Interface]) -> Iterator[Request]:
    """Have what is on no network of a machine go to its bridge."""
    for gateway in gateways:
        yield route("0.0.0.0/0" if gateway.version == 4 else "::/0", str(gateway.ip), MACHINE_INDEX)


def route(destination: str, gateway: str, index: int) -> Request:
    """Have what is for a network go to a neighbour. See ip-route(8)."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    return _request("RTM_NEWROUTE", family=family, dst=destination, gateway=gateway, oif=index)


UPON = {"macvlan": ("bridge", "private", "vepa", "passthru"), "ipvlan": ("l2", "l3")}
"""The modes of each kind of link upon a link, the usual first: ip-link(8)."""


def upon(kind: str, name: str, lower: int, namespace: int, mode: str) -> Request:
    """Make a link upon a link, in another namespace: a macvlan or an ipvlan. See ip-link(8)."""
    return _request(
        "RTM_NEWLINK",
        ifname=name,
        index=MACHINE_INDEX,
        kind=kind,
        link=lower,
        net_ns_fd=namespace,
        **{f"{kind}_mode": mode if kind == "macvlan" else UPON[kind].index(mode)},
    )


def enter(index: int, namespace: int, inside: int, name: str | None = None) -> Request:
    """Move a link into another namespace, where it is down, and has this index and no addresses."""
    return _request(
        "RTM_SETLINK",
        index=index,
        net_ns_fd=namespace,
        IFLA_NEW_IFINDEX=inside,
        ifname=name or f"nsb{inside}",
    )


def remove(index: int) -> Request:
    """Remove a link, and with it the other end of its wire."""
    return _request("RTM_DELLINK", index=index)


def is_missing(number: int | None) -> bool:
    """Whether this is the answer of a kernel that has no such kind of link, or of discipline."""
    return number in (errno.ENOENT, errno.EOPNOTSUPP)


def addressed(index: int, addresses: Sequence[Interface]) -> Iterator[Request]:
    """Give a link addresses."""
    for one in addresses:
        yield _request(
            "RTM_NEWADDR",
            index=index,
            family=socket.AF_INET if one.version == 4 else socket.AF_INET6,
            address=str(one.ip),
            prefixlen=one.network.prefixlen,
            **({"broadcast": str(one.network.broadcast_address)} if _broadcasts(one) else {}),
            **({"flags": _NODAD} if one.version == 6 else {}),
        )


def _broadcasts(interface: Interface) -> bool:
    return interface.version == 4 and interface.network.prefixlen < 31


def trunk(index: int, lower: int, upper: int, *, isolated: bool) -> Iterator[Request]:
    """Join two bridges by a wire: `index` is a port of `lower`, the next index one of `upper`.

    Between two isolated ports of one bridge nothing passes: bridge(8), "isolated".
    """
    yield veth(index, lower, {"index": index + 1, "ifname": f"nsb{index + 1}"})
    yield move(index + 1, upper)
    if isolated:
        yield _request("RTM_SETLINK", index=index + 1, kind="bridge_slave", isolated=1)
    yield up(index + 1)


def move(index: int, master: int) -> Request:
    """Have a link be a port of this bridge, and no longer of another."""
    return _request("RTM_SETLINK", index=index, master=master)


def forget(index: int) -> Request:
    """Have a bridge learn anew who is behind a port of it: bridge(8), "fdb"."""
    return _request("RTM_SETLINK", index=index, kind="bridge_slave", flush=True)


def up(index: int) -> Request:
    """Bring a link up."""
    return _request("RTM_SETLINK", index=index, state="up")


def down(index: int) -> Request:
    """Bring a link down: the other end of its wire loses its carrier."""
    return _request("RTM_SETLINK", index=index, state="down")


def impair(index: int, delay: float, jitter: float, loss: float) -> Request:
    """Have what leaves by a link come late, or not at all. See tc-netem(8)."""
    return _request(
        "RTM_NEWQDISC",
        kind="netem",
        index=index,
        handle="1:",
        delay=round(delay * 1e6),
        jitter=round(jitter * 1e6),
        loss=loss * 100,
    )


def repair(index: int) -> Request:
    """Undo `impair`."""
    return _request("RTM_DELQDISC", index=index, parent=_ROOT)
