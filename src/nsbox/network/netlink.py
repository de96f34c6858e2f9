"""Requests sent to the kernel: by pyroute2, in a thread of its own.

Its sockets own an event loop; in a thread that has none it is in nobody's way, whatever loop the
caller runs. The sockets come from us, for they belong to namespaces that no thread of ours is in.
"""

import errno
import os
import socket
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nsbox.errors import StepError, UnsupportedError
from nsbox.network.requests import Request

_CALLS = {
    "RTM_NEWLINK": ("link", "add"),
    "RTM_SETLINK": ("link", "set"),
    "RTM_DELLINK": ("link", "del"),
    "RTM_NEWADDR": ("addr", "add"),
    "RTM_NEWROUTE": ("route", "add"),
    "RTM_NEWQDISC": ("tc", "replace"),
    "RTM_DELQDISC": ("tc", "del"),
}
"""What pyroute2 calls them."""


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

    def __init__(self, fd: int) -> None:
        """Take over a netlink socket. Raises `UnsupportedError` where pyroute2 is missing."""
        self._sock = socket.socket(fileno=fd)
        self._open: Any = None
        self._executor = ThreadPoolExecutor(1, "nsbox-netlink")
        try:
            self._executor.submit(self._begin).result()
        except BaseException:
            self.close()
            raise

    def send(self, requests: Iterable[Request], *, ignored: Container[int] = ()) -> None:
        """Send requests, each after the answer to the one before.

        Raises `StepError` for the first that the kernel refuses, unless its errno is `ignored`.
        """
        listed = list(requests)
        self._executor.submit(lambda: _send(self._open, listed, ignored)).result()

    def send_both(self, requests: Iterable[Request], fd: int, inside: Iterable[Request]) -> None:
        """Send requests, and then others by the socket of another namespace, the caller's `fd`."""
        listed, others = list(requests), list(inside)

        def send() -> None:
            _send(self._open, listed)
            other = _speaker(sock)
            try:
                _send(other, others)
            finally:
                other.close()

        with socket.socket(fileno=os.dup(fd)) as sock:
            self._executor.submit(send).result()

    def send_by(self, fd: int, requests: Iterable[Request]) -> None:
        """Send requests by the socket of another namespace, the caller's `fd`."""
        self.send_both((), fd, requests)

    def link(self, index: int) -> Any:
        """Return what pyroute2 tells of a link."""
        return self._executor.submit(lambda: self._open.link("get", index=index)[0]).result()

    def close(self) -> None:
        """Close the socket and end the thread. Twice is harmless."""
        if self._open is not None:
            self._executor.submit(self._open.close).result()
            self._open = None
        self._executor.shutdown()
        self._sock.close()

    def _begin(self) -> None:
        self._open = _speaker(self._sock)


def _speaker(sock: socket.socket) -> Any:
    return _pyroute2().IPRoute(use_socket=sock, groups=0)  # 0: nobody listens to what others do


def _send(route: Any, requests: list[Request], ignored: Container[int] = ()) -> None:
    refused = _pyroute2().NetlinkError
    for index, request in enumerate(requests):
        method, command = _CALLS[request.message]
        try:
            getattr(route, method)(command, **request.arguments)
        except refused as error:
            if error.code in ignored:
                continue
            hint = _hint(request, error.code)
            raise StepError.of(request, error.code, index, box=None, hint=hint) from None


def _hint(request: Request, number: int) -> str | None:
    if request.message == "RTM_NEWLINK" and number == errno.EOPNOTSUPP:
        return "hint: this kernel has no bridges or no veth links: CONFIG_BRIDGE, CONFIG_VETH"
    if request.message == "RTM_NEWADDR" and number in (errno.EACCES, errno.EOPNOTSUPP):
        return "hint: IPv6 is switched off here: see the sysctl net.ipv6.conf.default.disable_ipv6"
    return None
