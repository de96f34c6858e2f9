"""A bridge with machines on it, all of it in a network namespace of its own. See bridge(8)."""

import contextlib
import errno
import os
import threading
import warnings
from collections.abc import Callable, Container, Iterable
from typing import Any, Literal, Protocol

from nsbox.caller import Caller
from nsbox.display import Displayed
from nsbox.errors import StepError, UnsupportedError
from nsbox.namespace import Namespace
from nsbox.network import names, namespaces, requests
from nsbox.network.addresses import Interface, Pool, interfaces
from nsbox.network.names import HostsFile
from nsbox.network.netlink import Netlink
from nsbox.network.port import Counters, Port
from nsbox.network.switch import Switch


class HasAddress(Protocol):
    """A box or a port: anything that is known by an address."""

    @property
    def address(self) -> str | None:
        """Its address, None where it has none."""


Machine = HasAddress | str
"""A machine of a bridge: its box, its port, or an address of it."""

_GONE = frozenset({errno.ENODEV})
"""The answer for a machine that has ended, and taken its link along."""

_UNIMPAIRED = frozenset({errno.ENOENT, errno.EINVAL})
"""The answers where nothing is to be undone."""


class Bridge(Displayed):
    """Machines that reach each other; made by `create`, given to boxes as `BoxSpec.link`.

    All of it is in a network namespace that nothing else is in: none of its links is among the
    host's, and with the namespace all of it is gone.
    """

    def __init__(self, own: tuple[Interface, ...], network: namespaces.Network) -> None:
        self.namespace: Namespace = network.namespace
        self._own = own
        self._pools = [Pool(interface) for interface in own]
        self._ports: dict[str, Port] = {}  # by each address
        self._switch = Switch()
        self._lock = threading.RLock()  # a box may be given up by the garbage collector, anywhere
        self._closed = True
        with contextlib.ExitStack() as undo:
            undo.callback(self.namespace.close)
            self._netlink = Netlink(network.socket)
            undo.callback(self._netlink.close)
            self._netlink.send(self._switch.begin(own))
            self._hosts = HostsFile()
            undo.pop_all()
        self._closed = False

    @classmethod
    def create(cls, *addresses: str) -> "Bridge":
        """Make a bridge with its own address on each of its networks: ``"10.77.0.1/24"``.

        IPv4, IPv6 or both; machines get the addresses after it, one of each network. An ordinary
        user has it in a user namespace, which all boxes on it are then in, as its root.

        Raises `ValueError` for addresses that no bridge can have, `UnsupportedError` where
        pyroute2 is missing (``pip install nsbox[net]``), and `StepError` for the step, or the
        request, that failed.
        """
        own = interfaces(addresses)
        return cls(own, namespaces.create())

    # Who is on it.

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its own addresses, with their prefixes."""
        return tuple(map(str, self._own))

    @property
    def machines(self) -> tuple[Port, ...]:
        """The machines that are on it now, in the order in which they came."""
        with self._lock:
            return tuple(dict.fromkeys(self._ports.values()))

    @property
    def hosts(self) -> str:
        """The path of the file with the names of all machines, which each sees as /etc/hosts.

        Raises `ValueError` after `close`.
        """
        self._check_open()
        return self._hosts.path

    def connect(self, name: str | None = None) -> Port:
        """Make a network namespace with a link to this bridge; a box that is started calls this.

        `name` is what the other machines know it by, if hosts(5) can hold it; of two with one name
        the first is found. Raises `StepError` for the step or request that failed, `NsboxError`
        where a network has no address left, and `ValueError` after `close`.
        """
        self._check_open()
        owner = None if Caller.current().privileged else self.namespace.user_namespace
        network = namespaces.create(owner)
        try:
            with self._lock:
                self._check_open()
                return self._add(name, network)
        except BaseException:
            network.namespace.close()
            raise
        finally:
            os.close(network.socket)

    def _add(self, name: str | None, network: namespaces.Network) -> Port:
        taken: list[Interface] = []
        index, bridge, made = self._switch.join()
        try:
            taken += [pool.take() for pool in self._pools]
            wire = requests.plug(index, bridge, network.namespace.fileno(), taken)
            inside = requests.machine(taken)
            self._netlink.send_both([*made, wire], network.socket, inside)
        except BaseException:
            self._forget(index, taken)
            raise
        port = Port(index, tuple(taken), name, network.namespace, self._release)
        for line in names.lines(taken, name):
            self._hosts.add(line)
        self._ports |= dict.fromkeys(port.addresses, port)
        return port

    def _release(self, port: Port) -> None:
        """Have a machine be on it no longer; its link goes with its namespace."""
        with self._lock:
            for address in port.addresses:
                del self._ports[address]
            self._forget(port.index, port.interfaces)
            for line in () if self._closed else names.lines(port.interfaces, port.name):
                self._hosts.remove(line)

    def _forget(self, index: int, taken: Iterable[Interface]) -> None:
        self._switch.leave(index)
        for pool, interface in zip(self._pools, taken, strict=False):
            pool.give_back(interface)

    # What can happen to a network.

    def partition(self, *groups: Iterable[Machine]) -> None:
        """Cut it: no machine of one group reaches one of another any longer.

        A machine in none of the groups reaches all, and so does the bridge itself. Takes the place
        of the cut before. What was sent and not received yet may still arrive. Raises `ValueError`
        for a machine that is in two groups, or is not on this bridge.
        """
        with self._lock:
            self._check_open()
            ports = [list(dict.fromkeys(map(self._port, group))) for group in groups]
            once: set[Port] = set()
            for group in ports:
                if not once.isdisjoint(group):
                    raise ValueError("groups: a machine can be on one side of a cut only")
                once.update(group)
            moved = self._switch.partition([[port.index for port in group] for group in ports])
            self._netlink.send(moved, ignored=_GONE)

    def heal(self) -> None:
        """Undo `partition`: all machines reach each other again, as far as their links are up."""
        self.partition()

    def down(self, machine: Machine) -> None:
        """Pull the plug of a machine: its link is there, without a carrier."""
        self._ask(machine, requests.down)

    def up(self, machine: Machine) -> None:
        """Undo `down`."""
        self._ask(machine, requests.up)

    def impair(
        self, machine: Machine, *, delay: float = 0, jitter: float = 0, loss: float = 0
    ) -> None:
        """Have what is sent to a machine come late, or not at all.

        `delay` and `jitter` are seconds, `loss` is a share from 0 to 1; with none of them the link
        is as it was. Raises `UnsupportedError` where the kernel has no netem, and `ValueError` for
        what no link can have. See tc-netem(8).
        """
        if not (delay >= 0 and jitter >= 0 and 0 <= loss <= 1):
            raise ValueError(
                f"delay, jitter, loss: seconds, seconds, and a share from 0 to 1, not "
                f"{delay!r}, {jitter!r}, {loss!r}"
            )
        if not (delay or jitter or loss):
            self._ask(machine, requests.repair, ignored=_UNIMPAIRED)
            return
        try:
            self._ask(machine, lambda index: requests.impair(index, delay, jitter, loss))
        except StepError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
            raise UnsupportedError(
                "delay, jitter, loss: this kernel has no netem: CONFIG_NET_SCH_NETEM, or "
                "`modprobe sch_netem`"
            ) from None

    def counters(self, machine: Machine) -> Counters:
        """Read what has passed a machine's link. See rtnetlink(7), IFLA_STATS64."""
        with self._lock:
            self._check_open()
            told = self._netlink.link(self._port(machine).index).get_attr("IFLA_STATS64")
        # What its end of the wire sends the machine receives.
        return Counters(
            rx_bytes=told["tx_bytes"],
            rx_packets=told["tx_packets"],
            rx_dropped=told["tx_dropped"],
            tx_bytes=told["rx_bytes"],
            tx_packets=told["rx_packets"],
            tx_dropped=told["rx_dropped"],
        )

    def _ask(
        self,
        machine: Machine,
        request: Callable[[int], requests.Request],
        ignored: Container[int] = (),
    ) -> None:
        with self._lock:
            self._check_open()
            self._netlink.send([request(self._port(machine).index)], ignored=ignored)

    def _port(self, machine: Machine) -> Port:
        address = machine if isinstance(machine, str) else machine.address
        port = self._ports.get(address or "")
        if port is None:
            raise ValueError(f"machine: {machine!r} is not on {self!r}")
        return port

    # Its end.

    def close(self) -> None:
        """Take it down; machines that are on it go on without a link. Twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._hosts.close()
            self._netlink.close()
            self.namespace.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")

    def __enter__(self) -> "Bridge":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<Bridge {' '.join(self.addresses)}{' closed' if self._closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Bridge is a live handle; make another from its addresses elsewhere")
