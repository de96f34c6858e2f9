"""Links upon a link of the caller's: boxes that are on the same wire as the host is."""

import contextlib
import socket
from typing import Any, Literal

from nsbox.caller import Caller
from nsbox.errors import StepError, UnsupportedError
from nsbox.network import namespaces, requests
from nsbox.network.addresses import Interface, interfaces
from nsbox.network.names import HostsFile
from nsbox.network.netlink import Netlink
from nsbox.network.places import Places

Kind = Literal["macvlan", "ipvlan"]


class LowerLink(Places):
    """Boxes on the wire of one of the caller's links; made by `create`, given as `BoxSpec.link`.

    Each gets a link of its own upon it, with a hardware address of its own (macvlan) or the same
    (ipvlan), and is seen by whatever is on that wire. The host itself and such a box do not see
    each other: that is how the kernel has it, see ip-link(8).
    """

    def __init__(self, link: str, own: tuple[Interface, ...], kind: Kind, mode: str) -> None:
        super().__init__(own)
        self.link = link
        self.kind = kind
        self._mode = mode
        self._index = socket.if_nametoindex(link)
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
    def resolv(self) -> str | None:
        """There is none: boxes see the host's resolv.conf(5), being on its wire."""
        return None

    def _plug(self, network: namespaces.Network, taken: list[Interface]) -> int:
        namespace = network.namespace.fileno()
        link = requests.MACHINE_LINK
        asked = requests.upon(self.kind, link, self._index, namespace, self._mode)
        try:
            self._netlink.send([asked])
            self._netlink.send_by(network.socket, requests.machine(taken), ignored=requests.NO_IPV6)
        except StepError as error:
            if requests.is_missing(error.errno) and error.index == 0:
                raise UnsupportedError(
                    f"kind: this kernel has no {self.kind}: CONFIG_{self.kind.upper()}, or "
                    f"`modprobe {self.kind}`"
                ) from None
            raise
        return 0  # nobody asks for it again: it goes with its namespace

    def _take_down(self) -> None:
        with contextlib.closing(self._netlink):
            self._hosts.close()

    def __repr__(self) -> str:
        return f"<LowerLink {self.kind} on {self.link}>"

    def __reduce__(self) -> Any:
        raise TypeError("a LowerLink is a live handle; pickle the BoxSpec without its link instead")
