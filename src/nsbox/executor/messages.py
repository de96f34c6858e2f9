"""Messages between a caller and an interpreter in a box, from outside: see `nsbox.executor.inside`.

What arrives is not trusted: nothing is believed of it but that it is bytes.
"""

import errno
import json
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

from nsbox.executor.inside import HEADER, Head

HEAD_MAX = 1 << 20
"""How long a message's head may be: its words and its traceback are limited where they are made."""


class Lost(Exception):  # noqa: N818 - it says what happened
    """The connection ended, or what came over it was no message."""


class Source(Protocol):
    """Where messages come from."""

    def recv(self, size: int, /) -> bytes:
        """As that of a `socket.socket`."""

    def settimeout(self, value: float | None, /) -> None:
        """As that of a `socket.socket`."""


class Watched:
    """What a call's process sends; the call's box is ended once that process has ended.

    What it began may live on and keep the connection open. The zygote tells of its end, or has
    ended itself, by a word of `control`, which is not read here.
    """

    def __init__(
        self, channel: socket.socket, control: socket.socket, end: Callable[[], object]
    ) -> None:
        self._channel, self._end = channel, end
        self._ended = False
        self._control = control.fileno()
        self._poll = select.poll()
        for one in (channel, control):
            self._poll.register(one, select.POLLIN)

    def settimeout(self, value: float | None, /) -> None:
        """Have the next `recv` wait so long."""
        self._channel.settimeout(value)

    def recv(self, size: int, /) -> bytes:
        """Receive what there is, or b"" once nobody can send any more. Raises `TimeoutError`."""
        if not self._ended:
            timeout = self._channel.gettimeout()
            ready = self._poll.poll(None if timeout is None else timeout * 1000)
            if not ready:
                raise TimeoutError
            if any(fd == self._control for fd, _ in ready):
                self._ended = True
                self._end()
        return self._channel.recv(size)


def send(sock: socket.socket, head: Head, body: bytes, deadline: float | None) -> None:
    """Send a message until the deadline (`time.monotonic`). Raises `Lost`, `TimeoutError`."""
    encoded = json.dumps(head).encode()
    try:
        _within(sock, deadline)
        sock.sendall(HEADER.pack(len(encoded), len(body)) + encoded)
        _within(sock, deadline)
        sock.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        raise Lost("does not listen") from None


def receive(sock: Source, body_max: int | None, deadline: float | None) -> tuple[Head, bytearray]:
    """Receive a message. Raises `Lost`, `TimeoutError`; `OSError` where its body is too long."""
    head_size, body_size = HEADER.unpack(exactly(sock, HEADER.size, deadline))
    if head_size > HEAD_MAX:
        raise Lost("does not speak as a worker does")
    encoded = exactly(sock, head_size, deadline)
    if body_max is not None and body_size > body_max:
        words = f"the call gives back {body_size} bytes, more than output_max: {body_max}"
        raise OSError(errno.EMSGSIZE, words)
    body = exactly(sock, body_size, deadline)
    try:
        head = json.loads(encoded)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise Lost("does not speak as a worker does")
    return head, body


def exactly(sock: Source, size: int, deadline: float | None) -> bytearray:
    """Receive this many bytes; memory grows with what arrives, not with what was announced."""
    received = bytearray()
    while len(received) < size:
        _within(sock, deadline)
        try:
            chunk = sock.recv(min(size - len(received), 1 << 20))
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Lost("has gone away")
        received += chunk
    return received


def _within(sock: Source, deadline: float | None) -> None:
    if deadline is None:
        sock.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
