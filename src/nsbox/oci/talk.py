"""What is said between a container that waits and whoever has it go on: see await.c."""

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from nsbox.oci.state import START

_FAILURE = struct.Struct("=2i")


class Failure(NamedTuple):
    """A step, by its index, that failed with an errno."""

    step: int
    errno: int


class Talk:
    """A connection to a container."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.listener = -1

    @classmethod
    def to(cls, folder: Path) -> "Talk":
        """Connect to the container of this folder. Raises `OSError` where none is waiting."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _Short(folder) as path:
                connection.connect(path)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def hear(self) -> Failure | bool:
        """Wait for a word: True when it is there, or done; False when nobody is there any longer.

        The exec of the command is such an end, and so is that of the process. What comes with a
        word is the `listener` of a filter, and the caller's to close.
        """
        try:
            told, descriptors, _, _ = socket.recv_fds(
                self._connection, _FAILURE.size, 1, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        if descriptors:
            self.listener = descriptors[0]
            os.set_inheritable(self.listener, False)
        return Failure(*_FAILURE.unpack(told)) if len(told) == _FAILURE.size else bool(told)

    def go_on(self) -> None:
        """Say the word. Who is not there any longer does not hear it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(b"\n")

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def listen(folder: Path) -> socket.socket:
    """Make the socket that a container is to wait at."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _Short(folder) as path:
            listener.bind(path)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


class _Short:
    """A path that is short enough, however long the folder's is: see unix(7), sun_path."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}/{START}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
