"""What gives boxes places on networks: whose it is, its addresses and names, who is on it."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterable
from typing import Literal, Self

from nsbox.namespace import Namespace
from nsbox.network import names, namespaces
from nsbox.network.addresses import Interface, Pool
from nsbox.network.names import HostsFile
from nsbox.network.netlink import Netlink
from nsbox.network.port import Port


class Places:
    """What is common to all that a box can be linked to."""

    _hosts: HostsFile
    _netlink: Netlink

    def __init__(self, own: tuple[Interface, ...]) -> None:
        """Not to be called: it is closed until its maker has all of it."""
        self._own = own
        self._pools = [Pool(interface) for interface in own]
        self._ports: dict[str, Port] = {}  # by each address
        self._lock = threading.RLock()  # a box may be given up by the garbage collector, anywhere
        self._starter = os.getpid()
        self._closed = True

    @property
    def hosts(self) -> str:
        """The path of the file with the names of all machines, which each sees as /etc/hosts.

        Raises `ValueError` after `close`.
        """
        self._check_open()
        return self._hosts.path

    @property
    def machines(self) -> tuple[Port, ...]:
        """The machines that are on it now, in the order in which they came."""
        with self._lock:
            return tuple(dict.fromkeys(self._ports.values()))

    def connect(self, name: str | None = None) -> Port:
        """Make a network namespace with a link to this; a box that is started calls it.

        `name` is what the other machines know it by, if hosts(5) can hold it; of two with one name
        the first is found. Raises `StepError` for the step or request that failed, `NsboxError`
        where a network has no address left, and `ValueError` after `close`.
        """
        self._check_open()
        network = namespaces.create(self._owner)
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
        with contextlib.ExitStack() as undo:
            undo.callback(self._give_back, taken)
            taken += [pool.take() for pool in self._pools]
            index = self._plug(network, taken)
            undo.callback(self._unplug, index)
            for line in names.lines(taken, name):
                self._hosts.add(line)
            undo.pop_all()
        port = Port(index, tuple(taken), name, network.namespace, self._release)
        self._ports |= dict.fromkeys(port.addresses, port)
        return port

    def _release(self, port: Port) -> None:
        """Have a machine be on it no longer; its link goes with its namespace."""
        with self._lock:
            for address in port.addresses:
                del self._ports[address]
            self._unplug(port.index)
            self._give_back(port.interfaces)
            for line in () if self._closed else names.lines(port.interfaces, port.name):
                self._hosts.remove(line)

    def _give_back(self, taken: Iterable[Interface]) -> None:
        for pool, interface in zip(self._pools, taken, strict=False):
            pool.give_back(interface)

    # What is of one kind only.

    @property
    def _owner(self) -> Namespace | None:
        """The user namespace that all of it is in, if that is not the caller's own."""
        return None

    def _plug(self, network: namespaces.Network, taken: list[Interface]) -> int:
        """Make the link of a machine, with these addresses; return the index for `_unplug`."""
        raise NotImplementedError

    def _unplug(self, index: int) -> None:
        """Take notice that a machine has gone, or is not to come."""

    def _take_down(self) -> None:
        """Let go of all that it has."""
        raise NotImplementedError

    # Its end.

    def close(self) -> None:
        """Take it down: a bridge's machines go on without a link. Twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if os.getpid() == self._starter:  # a fork has descriptors of its own, and nothing else
                self._take_down()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and os.getpid() == self._starter:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()
