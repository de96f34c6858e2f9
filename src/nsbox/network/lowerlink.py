"""Links upon a link of the caller's: boxes that are on the same wire as the host is."""

import contextlib
import os
import socket
import threading
import warnings
from typing import Any, Literal

from nsbox.caller import Caller
from nsbox.errors import StepError, UnsupportedError
from nsbox.network import names, namespaces, requests
from nsbox.network.addresses import Interface, Pool, interfaces
from nsbox.network.names import HostsFile
from nsbox.network.netlink import Netlink
from nsbox.network.port import Port

Kind = Literal["macvlan", "ipvlan"]


class LowerLink:
    """Boxes on the wire of one of the caller's links; made by `create`, given as `BoxSpec.link`.

    Each gets a link of its own upon it, with a hardware address of its own (macvlan) or the same
    (ipvlan), and is seen by whatever is on that wire. The host itself and such a box do not see
    each other: that is how the kernel has it, see ip-link(8).
    """

    def __init__(self, link: str, own: tuple[Interface, ...], kind: Kind, mode: str) -> None:
        self.link = link
        self.kind = kind
        self._mode = mode
        self._own = own
        self._pools = [Pool(interface) for interface in own]
        self._index = socket.if_nametoindex(link)
        self._lock = threading.RLock()
        self._ports: dict[str, Port] = {}
        self._closed = True
        self._starter = os.getpid()
        self._netlink = Netlink(namespaces.here(), namespaces.here())
        try:
            self._hosts = HostsFile()
        except BaseException:
            self._netlink.close()
            raise
        self._closed = False

    @classmethod
    def create(
        cls, link: str, *addresses: str, kind: Kind = "macvlan", mode: str | None = None
    ) -> "LowerLink":
        """Give boxes addresses on the wire of `link`, after `addresses` on each of its networks.

        `addresses` are the host's own there, or its router's, as for `Bridge.create`, and none is
        given to a box; that nobody else on the wire has those after it is for the caller to know.
        `mode` is ``"bridge"`` (the default), ``"private"``, ``"vepa"``, ``"passthru"``; of ipvlan
        ``"l2"`` (the default), ``"l3"``. Raises `OSError` where there is no such link,
        `UnsupportedError` without CAP_NET_ADMIN, and `ValueError` for nonsense.
        """
        modes = requests.UPON.get(kind)
        if modes is None:
            raise ValueError(f"kind: one of {tuple(requests.UPON)}, not {kind!r}")
        if mode is not None and mode not in modes:
            raise ValueError(f"mode: of {kind} one of {modes}, not {mode!r}")
        if not Caller.current().privileged:
            raise UnsupportedError(f"kind: a {kind} upon a link of the host's takes root's rights")
        return cls(link, interfaces(addresses), kind, mode or modes[0])

    @property
    def hosts(self) -> str:
        """The path of the file with the names of all boxes, which each sees as /etc/hosts."""
        self._check_open()
        return self._hosts.path

    @property
    def resolv(self) -> str | None:
        """There is none: boxes see the host's resolv.conf(5), being on its wire."""
        return None

    @property
    def machines(self) -> tuple[Port, ...]:
        """The boxes that are on it now."""
        with self._lock:
            return tuple(dict.fromkeys(self._ports.values()))

    def connect(self, name: str | None = None) -> Port:
        """Make a network namespace with a link upon this one; a box that is started calls this."""
        self._check_open()
        network = namespaces.create()
        taken: list[Interface] = []
        try:
            with self._lock, contextlib.ExitStack() as undo:
                self._check_open()
                undo.callback(lambda: self._give_back(taken))
                taken += [pool.take() for pool in self._pools]
                self._make(network.namespace.fileno(), network.socket, taken)
                port = Port(0, tuple(taken), name, network.namespace, self._release)
                for line in names.lines(taken, name):
                    self._hosts.add(line)
                self._ports |= dict.fromkeys(port.addresses, port)
                undo.pop_all()
                return port
        except BaseException:
            network.namespace.close()
            raise
        finally:
            os.close(network.socket)

    def _make(self, namespace: int, sock: int, taken: list[Interface]) -> None:
        link = requests.MACHINE_LINK
        asked = requests.upon(self.kind, link, self._index, namespace, self._mode)
        try:
            self._netlink.send([asked])
            self._netlink.send_by(sock, requests.machine(taken), ignored=requests.NO_IPV6)
        except StepError as error:
            if requests.is_missing(error.errno) and error.index == 0:
                raise UnsupportedError(
                    f"kind: this kernel has no {self.kind}: CONFIG_{self.kind.upper()}, or "
                    f"`modprobe {self.kind}`"
                ) from None
            raise

    def _release(self, port: Port) -> None:
        with self._lock:
            for address in port.addresses:
                del self._ports[address]
            self._give_back(port.interfaces)
            for line in () if self._closed else names.lines(port.interfaces, port.name):
                self._hosts.remove(line)

    def _give_back(self, taken: "tuple[Interface, ...] | list[Interface]") -> None:
        for pool, interface in zip(self._pools, taken, strict=False):
            pool.give_back(interface)

    def close(self) -> None:
        """Take no more boxes; those that are on it stay there. Twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if os.getpid() != self._starter:
                return  # a fork has descriptors of its own; the rest is its starter's
            with contextlib.closing(self._netlink):
                self._hosts.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")

    def __enter__(self) -> "LowerLink":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and os.getpid() == self._starter:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<LowerLink {self.kind} on {self.link}>"

    def __reduce__(self) -> Any:
        raise TypeError("a LowerLink is a live handle; pickle the BoxSpec without its link instead")
