"""Ports of a box on the host's loopback: accepted here, and connected to in there.

A forwarder is a thread of the caller's own, which ends with the box: no daemon, no rule in the
host's firewall, no link between the two networks, and no right that an ordinary user has not. A
socket belongs to the network namespace that its maker is in, whoever has it later; so a child makes
one in the box's, and hands it over.
"""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterable

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import CloneFlag
from nsbox.frozen import FrozenMap
from nsbox.perform import perform
from nsbox.plan import Slot, Step

BACKLOG = 128
CHUNK = 1 << 16
PAUSE = 0.1
LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
"""Where in the box a server is asked for: one that listens on every address listens there, too."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: socket(7)


class Published:
    """The ports of one box, bound at once and served from its start on.

    Raises `OSError` where one cannot be bound, EADDRINUSE mostly.
    """

    def __init__(self, ports: Iterable[tuple[int, int]]) -> None:
        self._listeners: list[tuple[socket.socket, int]] = []
        self._thread: threading.Thread | None = None
        self._end, self._ended = socket.socketpair()  # the thread ends when ours is closed
        try:
            for outside, inside in ports:
                self._listeners.append((_listen(outside), inside))
        except BaseException:
            self.close()
            raise
        self.ports = FrozenMap(
            {inside: int(listener.getsockname()[1]) for listener, inside in self._listeners}
        )

    def serve(self, pidfd: int) -> None:
        """Serve them until the box of this first process ends, or `close` is called."""
        work = os.dup(pidfd), self._ended, self._listeners
        thread = threading.Thread(target=_run, args=work, name="nsbox-ports", daemon=True)
        try:
            thread.start()
        except BaseException:
            os.close(work[0])
            raise
        self._thread = thread

    def close(self) -> None:
        """Let go of them; connections through them are reset. Twice is harmless."""
        thread, self._thread = self._thread, None
        self._end.close()
        if thread is None:
            self._ended.close()
        elif thread is not threading.current_thread():  # the garbage collector is in any of them
            thread.join()
        for listener, _ in self._listeners:
            listener.close()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        error.add_note(f"ports: {port} of the host's 127.0.0.1 could not be had")
        raise


def _run(pidfd: int, end: socket.socket, listeners: list[tuple[socket.socket, int]]) -> None:
    with end:
        try:
            asyncio.run(_serve(pidfd, end, listeners))
        finally:
            os.close(pidfd)


async def _serve(
    pidfd: int, end: socket.socket, listeners: list[tuple[socket.socket, int]]
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    connections: set[asyncio.Task[None]] = set()

    def accept(listener: socket.socket, port: int) -> None:
        try:
            outside, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # whoever asked has gone again
        except OSError:  # no descriptor is left: look again when some may be
            loop.remove_reader(listener)
            loop.call_later(PAUSE, listen, listener, port)
        else:
            connection = loop.create_task(_connection(outside, pidfd, port))
            connections.add(connection)
            connection.add_done_callback(connections.discard)
            # One that is cancelled before it has begun closes nothing itself.
            connection.add_done_callback(lambda _: outside.close())

    def listen(listener: socket.socket, port: int) -> None:
        if listener.fileno() >= 0:
            loop.add_reader(listener, accept, listener, port)

    for fd in (pidfd, end.fileno()):
        loop.add_reader(fd, ended.set)
    for listener, port in listeners:
        listener.setblocking(False)
        listen(listener, port)
    try:
        await ended.wait()
    finally:
        for fd in (pidfd, end.fileno(), *(listener.fileno() for listener, _ in listeners)):
            loop.remove_reader(fd)
        for listener, _ in listeners:
            listener.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _connection(outside: socket.socket, pidfd: int, port: int) -> None:
    """Pass on what both sides say until both have ended; what is cut short is reset."""
    inside: socket.socket | None = None
    try:
        outside.setblocking(False)
        inside = await _connect(pidfd, port)
        await _both_ways(outside, inside)
    except BaseException as error:
        for one in (outside, inside):
            if one is not None:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if not isinstance(error, OSError):
            raise
    finally:
        outside.close()
        if inside is not None:
            inside.close()


async def _connect(pidfd: int, port: int) -> socket.socket:
    refused: list[OSError] = []
    for family, address in LOOPBACK:
        try:
            inside = _socket(pidfd, family)
            try:
                inside.setblocking(False)
                await asyncio.get_running_loop().sock_connect(inside, (address, port))
            except BaseException:
                inside.close()
                raise
            return inside
        except OSError as error:
            refused.append(error)
    raise refused[0]


def _socket(pidfd: int, family: socket.AddressFamily) -> socket.socket:
    """Make a socket in the network namespace of a box, by its first process."""
    kinds = CloneFlag.CLONE_NEWNET
    if not Caller.current().privileged:
        kinds |= CloneFlag.CLONE_NEWUSER  # whose rights are needed for the other
    steps = [
        Step(Operation.CLONE3, (CloneFlag(0),)),
        Step(Operation.SETNS, (Slot.BOX, "first process", kinds)),
        Step(Operation.HAND_OVER_SOCKET, (family, socket.SOCK_STREAM, 0)),
    ]
    return socket.socket(fileno=perform(steps, {Slot.BOX: pidfd}).take_descriptor())


async def _both_ways(one: socket.socket, other: socket.socket) -> None:
    """Pass on what each says to the other; where one way fails, both have ended.

    The loop knows who waits by the descriptor's number, which the next connection gets.
    """
    loop = asyncio.get_running_loop()
    ways = [loop.create_task(_pass_on(*pair)) for pair in ((one, other), (other, one))]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while size := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(sink, view[:size])
    with contextlib.suppress(OSError):  # it has said its last word already
        sink.shutdown(socket.SHUT_WR)
