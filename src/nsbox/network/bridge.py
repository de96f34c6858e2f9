"""A bridge with machines on it, all of it in a network namespace of its own. See bridge(8)."""

import contextlib
import errno
import os
from collections.abc import Iterable
from typing import Any, get_args

from nsbox.caller import Caller
from nsbox.display import Displayed
from nsbox.namespace import Namespace
from nsbox.network import moved, namespaces, requests, uplink
from nsbox.network.addresses import Interface, interfaces
from nsbox.network.faults import Faults
from nsbox.network.names import HostsFile, Resolver
from nsbox.network.netlink import Netlink
from nsbox.network.switch import Switch
from nsbox.network.wires import Side, forward, join


class Bridge(Faults, Displayed):
    """Machines that reach each other; made by `create`, given to boxes as `BoxSpec.link`.

    All of it is in a network namespace that nothing else is in: none of its links is among the
    host's, and with the namespace all of it is gone.
    """

    def __init__(
        self, own: tuple[Interface, ...], network: namespaces.Network, resolver: Resolver
    ) -> None:
        super().__init__(own)
        self.namespace: Namespace = network.namespace
        self._switch = Switch()
        self._gateways: tuple[Interface, ...] = ()
        self._end = contextlib.ExitStack()
        self._has_uplink = False
        with contextlib.ExitStack() as undo:
            undo.callback(self.namespace.close)
            try:
                direct = namespaces.open_socket(self.namespace, self._owner)
            except BaseException:
                os.close(network.socket)
                raise
            self._netlink = Netlink(network.socket, direct)
            undo.callback(self._netlink.close)
            self._netlink.send(self._switch.begin(own))
            self._hosts = HostsFile()
            undo.callback(self._hosts.close)
            if resolver:
                self._hosts.resolve(resolver)
            undo.pop_all()
        self._closed = False

    @classmethod
    def create(
        cls,
        *addresses: str,
        nameservers: Iterable[str] = (),
        search: Iterable[str] = (),
        beside: "Bridge | None" = None,
    ) -> "Bridge":
        """Make a bridge with its own address on each of its networks: ``"10.77.0.1/24"``.

        IPv4, IPv6 or both; machines get the addresses after it, one of each network. An ordinary
        user has it in a user namespace, which all boxes on it are then in, as its root: in a new
        one, or that of the bridge `beside` it. `nameservers` and `search` are what the machines
        find in /etc/resolv.conf, in place of the host's: see resolv.conf(5).

        Raises `ValueError` for addresses that no bridge can have, `UnsupportedError` where
        pyroute2 is missing (``pip install nsbox[net]``), and `StepError` for the step, or the
        request, that failed.
        """
        own = interfaces(addresses)
        resolver = Resolver(nameservers, search)
        return cls(own, namespaces.create(beside._owner if beside else None), resolver)

    # Who is on it.

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its own addresses, with their prefixes."""
        return tuple(map(str, self._own))

    @property
    def resolv(self) -> str | None:
        """The path of what each machine sees as /etc/resolv.conf; None: the host's, if any.

        Raises `ValueError` after `close`.
        """
        self._check_open()
        return self._hosts.resolv

    def _plug(self, network: namespaces.Network, taken: list[Interface]) -> int:
        index, bridge, made = self._switch.join()
        try:
            wire = requests.plug(index, bridge, network.namespace.fileno(), taken)
            inside = requests.machine(taken, self._gateways)
            quiet = requests.without_link_local(index)
            self._netlink.send([*made, wire, quiet], ignored=requests.NO_IPV6)
            self._netlink.send_by(network.socket, inside, ignored=requests.NO_IPV6)
        except BaseException:
            self._unplug(index)
            raise
        return index

    def _unplug(self, index: int) -> None:
        self._switch.leave(index)

    # What is behind it.

    def route(self, other: "Bridge") -> None:
        """Have the machines of this bridge and those of another reach each other by address.

        Machines get a default route by their bridge, those that run and those that come. As without
        CAP_SYS_ADMIN both must be in one user namespace, the later is made with ``beside=``.
        Raises `UnsupportedError` where they are not, `ValueError` where they cannot be told apart.
        """
        for one in self._own:
            for another in other._own:
                if one.version == another.version and one.network.overlaps(another.network):
                    raise ValueError(f"other: {one} and {another} are on networks that overlap")
        first, second = sorted((self, other), key=id)
        with first._lock, second._lock:
            sides = []
            for bridge in (self, other):
                bridge._check_open()
                bridge._pass_on()
                index = bridge._switch.reserve()
                sides.append(Side(bridge.namespace, bridge._netlink, index, bridge._own))
            join(*sides)

    def uplink(self, by: uplink.By | None = None) -> None:
        """Give its machines a way out, as the calling thread's network has it; IPv4 only.

        ``"nat"`` takes root: a wire into the host's network, and a table of nftables there that
        masquerades what comes by it; the host must forward packets, its firewall let them pass.
        ``"slirp4netns"`` takes that program, and no right: it speaks for the machines by sockets of
        its own. None chooses by the caller's rights. Both go with the bridge. The machines' name
        servers are those that `create` was given, or slirp4netns' own if it was told nothing of
        names.
        Raises `UnsupportedError` with the reason where it cannot be had.
        """
        by = by or ("nat" if Caller.current().privileged else "slirp4netns")
        if by not in get_args(uplink.By):
            raise ValueError(f"by: one of {get_args(uplink.By)}, not {by!r}")
        with self._lock, contextlib.ExitStack() as undo:
            self._check_open()
            if self._has_uplink:
                raise ValueError(f"{self!r} has a way out already")
            if by == "nat":
                uplink.nat(self.namespace, self._netlink, self._switch.reserve(), undo)
                server = None
            else:
                server = uplink.slirp(self.namespace, self._owner, undo)
            self._pass_on()
            if server is not None and self._hosts.resolv is None:
                self._hosts.resolve(Resolver([server]))
            self._end.push(undo.pop_all())
            self._has_uplink = True

    def adopt(self, link: str) -> None:
        """Take a link of the caller's network, by its name, for a port of this bridge.

        The caller is without it then, and its addresses there are gone: a virtual link ends with
        the bridge, that of a device comes back. What is behind it sees all machines, whatever the
        cut. Takes root. Raises `OSError` where there is no such link, `StepError` where it cannot
        be moved, or not be a port: the caller has it again then, up if it was, with its name and
        those of its addresses that are of global scope and do not expire.
        """
        with self._lock, moved.here() as here, contextlib.ExitStack() as undo:
            self._check_open()
            index = self._switch.reserve()
            there = moved.End(self.namespace, self._netlink)
            moved.carry(link, here, there, index, undo=undo)
            # Refused for a kind that is no port of a bridge, a tun, say.
            self._netlink.send([requests.move(index, self._switch.main.first), requests.up(index)])
            undo.pop_all()

    def _pass_on(self) -> None:
        """Be a router, from now on, and the machines' way to what is behind it."""
        if self._gateways:
            return
        forward(self.namespace, self._owner, self._own)
        for port in self.machines:
            fd = namespaces.open_socket(port.namespace, self._owner)
            try:  # a machine that has its way already keeps it
                asked = requests.defaults(self._own)
                self._netlink.send_by(fd, asked, ignored={errno.EEXIST})
            finally:
                os.close(fd)
        self._gateways = self._own

    @property
    def _owner(self) -> Namespace | None:
        return None if Caller.current().privileged else self.namespace.user_namespace

    def _take_down(self) -> None:
        with contextlib.ExitStack() as rest:  # each, whatever becomes of those before
            rest.callback(self.namespace.close)
            rest.callback(self._netlink.close)
            rest.callback(self._hosts.close)
            rest.callback(self._end.close)

    def __repr__(self) -> str:
        return f"<Bridge {' '.join(self.addresses)}{' closed' if self._closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Bridge is a live handle; make another from its addresses elsewhere")
