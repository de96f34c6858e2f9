"""Which addresses there are on a network, and which are free. No system calls."""

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from nsbox.errors import NsboxError

Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
"""An address and the network that it is on, written as ``10.77.0.1/24``."""


class Pool:
    """The addresses of one network, without the one that is its bridge's own.

    What is given back is given out again as late as possible: others may still know whose it was.
    """

    def __init__(self, own: Interface) -> None:
        self._network = own.network
        self._kind = type(own)
        self._first, self._size = _hosts(own)
        self._taken = {int(own)}
        self._next = self._first

    @property
    def free(self) -> int:
        """How many are free."""
        return self._size - len(self._taken)

    def take(self) -> Interface:
        """Take the next that is free. Raises `NsboxError` where none is."""
        if not self.free:
            raise NsboxError(
                f"the network {self._network} has no address left: {self._size - 1} machines are "
                "on it, and a shorter prefix has room for more"
            )
        while self._next in self._taken:
            self._advance()
        number = self._next
        self._taken.add(number)
        self._advance()
        return self._kind((number, self._network.prefixlen))

    def give_back(self, interface: Interface) -> None:
        """Have an address that was taken be free again."""
        self._taken.remove(int(interface))

    def _advance(self) -> None:
        self._next = self._first + (self._next + 1 - self._first) % self._size


def _hosts(own: Interface) -> tuple[int, int]:
    """Return the first address that a machine can have, and how many there are.

    The first of a network means the network, and the last of an IPv4 network all in it; with
    IPv6 the first means any router (RFC 4291, 2.6.1). Networks of two addresses have neither
    (RFC 3021, RFC 6164).
    """
    network = own.network
    first, size = int(network.network_address), network.num_addresses
    if size <= 2:
        return first, size
    return first + 1, size - (2 if network.version == 4 else 1)


def interface(text: object) -> Interface:
    """Read a bridge's own address, with its prefix. Raises `ValueError` where it cannot be one."""
    try:
        if not isinstance(text, str) or "/" not in text:
            raise ValueError
        own = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(
            f"addresses: an address and its prefix, such as '10.77.0.1/24', not {text!r}"
        ) from None
    first, size = _hosts(own)
    if size < 2:
        raise ValueError(f"addresses: {text!r} is a network without room for a machine")
    if not first <= int(own) < first + size:
        raise ValueError(f"addresses: {text!r} stands for all of a network, or for none in it")
    if own.ip.is_multicast or own.ip.is_loopback or own.ip.is_unspecified:
        raise ValueError(f"addresses: no link has an address such as {text!r}")
    if own.version == 6 and own.ip.is_link_local:
        raise ValueError(f"addresses: {text!r} is link-local, which every link has of itself")
    return own


def interfaces(texts: Sequence[object]) -> tuple[Interface, ...]:
    """Read the addresses of one bridge, whose networks must not overlap."""
    if not texts:
        raise ValueError("addresses: at least one, such as '10.77.0.1/24'")
    found = tuple(interface(text) for text in texts)
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.version == other.version and one.network.overlaps(other.network):
                raise ValueError(f"addresses: {other} and {one} are on one network")
    return found


def hardware_address(interface: Interface) -> str:
    """Make the link-layer address that goes with an address, locally administered.

    One that follows from the other is still right where a neighbour remembers it from a machine
    that had this address before.
    """
    return ":".join(f"{byte:02x}" for byte in (2, 0, *interface.packed[-4:]))
