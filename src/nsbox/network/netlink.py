"""Requests sent to the kernel: by a socket of ours, and the rest by pyroute2, in its own thread.

Its sockets own an event loop; in a thread that has none it is in nobody's way, whatever loop the
caller runs. The sockets come from us, for they belong to namespaces that no thread of ours is in.
"""

import errno
import itertools
import os
import socket
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nsbox.errors import StepError, UnsupportedError
from nsbox.network.messages import encode, send
from nsbox.network.requests import Request

_CALLS = {
    "RTM_NEWLINK": ("link", "add"),
    "RTM_SETLINK": ("link", "set"),
    "RTM_DELLINK": ("link", "del"),
    "RTM_NEWQDISC": ("tc", "replace"),
    "RTM_DELQDISC": ("tc", "del"),
}
"""What pyroute2 calls them."""


_PERMANENT, _NODAD = 0x80, 0x02  # IFA_F_PERMANENT; IFA_F_NODAD: it was had already

_AT_ONCE = 50
"""How many messages are sent as one."""


def _pyroute2() -> Any:
    try:
        import pyroute2  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise UnsupportedError(
            "nsbox.network needs pyroute2, which is not installed: `pip install nsbox[net]`"
        ) from None
    return pyroute2


class Netlink:
    """One namespace's socket, kept open, and the thread that speaks by it."""

    def __init__(self, fd: int, direct: int) -> None:
        """Take over two netlink sockets of a namespace: pyroute2's, and one of ours.

        Raises `UnsupportedError` where pyroute2 is missing.
        """
        self._sock = socket.socket(fileno=fd)
        self._direct = socket.socket(fileno=direct)
        self._open: Any = None
        self._executor = ThreadPoolExecutor(1, "nsbox-netlink")
        try:
            self._executor.submit(self._begin).result()
        except BaseException:
            self.close()
            raise

    def send(self, requests: Iterable[Request], *, ignored: Container[int] = ()) -> None:
        """Send requests, in their order.

        Raises `StepError` for the first that the kernel refuses, unless its errno is `ignored`.
        Those after it may have been done as well, as far as one message was sent with the other.
        """
        listed = list(requests)
        left = _send_directly(self._direct, listed, ignored)
        while left < len(listed):
            end = left + 1
            while end < len(listed) and encode(listed[end], 0) is None:
                end += 1
            self._executor.submit(self._send, listed[left:end], left, ignored).result()
            left = end + _send_directly(self._direct, listed[end:], ignored, end)

    def send_by(
        self, fd: int, requests: Iterable[Request], *, ignored: Container[int] = ()
    ) -> None:
        """Send requests by the socket of another namespace, the caller's `fd`."""
        listed = list(requests)
        with socket.socket(fileno=os.dup(fd)) as sock:
            sent = _send_directly(sock, listed, ignored)
            if sent < len(listed):

                def send() -> None:
                    other = _speaker(sock)
                    try:
                        _send(other, listed[sent:], ignored, sent)
                    finally:
                        other.close()

                self._executor.submit(send).result()

    def link(self, index: int) -> Any:
        """Return what pyroute2 tells of a link."""
        return self._executor.submit(lambda: self._open.link("get", index=index)[0]).result()

    def indexes(self) -> list[int]:
        """Return the index of each link."""
        return self._executor.submit(
            lambda: [one["index"] for one in self._open.get_links()]
        ).result()

    def lasting_addresses(self, index: int) -> list[dict[str, Any]]:
        """Return the addresses of a link that do not expire, of global scope, to be given again."""
        return self._executor.submit(
            lambda: [
                _kept(one)
                for one in self._open.get_addr(index=index)
                if one["index"] == index and one["scope"] == 0 and one["flags"] & _PERMANENT
            ]
        ).result()

    def close(self) -> None:
        """Close the socket and end the thread. Twice is harmless."""
        if self._open is not None:
            self._executor.submit(self._open.close).result()
            self._open = None
        self._executor.shutdown()
        self._sock.close()
        self._direct.close()

    def _begin(self) -> None:
        self._open = _speaker(self._sock)

    def _send(self, requests: list[Request], first: int, ignored: Container[int]) -> None:
        _send(self._open, requests, ignored, first)


def _kept(address: Any) -> dict[str, Any]:
    broadcast = address.get_attr("IFA_BROADCAST")
    is_ipv6 = address["family"] == socket.AF_INET6
    return {
        "family": address["family"],
        "address": address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS"),
        "prefixlen": address["prefixlen"],
        **({"broadcast": broadcast} if broadcast else {}),
        **({"flags": _NODAD} if is_ipv6 else {}),
    }


def _speaker(sock: socket.socket) -> Any:
    return _pyroute2().IPRoute(use_socket=sock, groups=0)  # 0: nobody listens to what others do


_sequences = itertools.count(1)
"""By which an answer is known: nlmsg_seq, see netlink(7)."""


def _send_directly(
    sock: socket.socket, requests: Sequence[Request], ignored: Container[int], first: int = 0
) -> int:
    """Send the requests before the first that takes pyroute2; return how many these are."""
    encoded = [encode(request, next(_sequences) & 0xFFFFFFFF) for request in requests]
    messages = list(itertools.takewhile(lambda message: message is not None, encoded))
    ready = [message for message in messages if message is not None]
    for start in range(0, len(ready), _AT_ONCE):
        for place, number in enumerate(send(sock, ready[start : start + _AT_ONCE]), start):
            if number and number not in ignored:
                raise _refused(requests[place], number, first + place)
    return len(ready)


def _send(route: Any, requests: list[Request], ignored: Container[int], first: int) -> None:
    refused = _pyroute2().NetlinkError
    for index, request in enumerate(requests, first):
        method, command = _CALLS[request.message]
        try:
            getattr(route, method)(command, **request.arguments)
        except refused as error:
            if error.code not in ignored:
                raise _refused(request, error.code, index) from None


def _refused(request: Request, number: int, index: int) -> StepError:
    return StepError.of(request, number, index, box=None, hint=_hint(request, number))


def _hint(request: Request, number: int) -> str | None:
    if request.message == "RTM_NEWLINK" and number == errno.EOPNOTSUPP:
        return "hint: this kernel has no bridges or no veth links: CONFIG_BRIDGE, CONFIG_VETH"
    if request.message == "RTM_NEWADDR" and number in (errno.EACCES, errno.EOPNOTSUPP):
        return "hint: IPv6 is switched off here: see the sysctl net.ipv6.conf.default.disable_ipv6"
    return None
