"""The caller's side of a box's terminal. See pty(7)."""

import errno
import fcntl
import io
import socket
import struct
import termios
from typing import Any

from nsbox.plan import Slot


def check_size(field: str, rows: int, columns: int) -> tuple[int, int]:
    """Refuse what no terminal's size can be."""
    for number in (rows, columns):
        if type(number) is not int or not 0 <= number < 1 << 16:
            raise ValueError(f"{field}: from 0 to {(1 << 16) - 1}, not {rows!r}, {columns!r}")
    return rows, columns


class Terminal(io.FileIO):
    """What a command in a box reads from its terminal is written here, and the reverse.

    A raw file for bytes: a read gives what is there, and b"" once nobody has the terminal open.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "r+")

    def resize(self, rows: int, columns: int) -> None:
        """Set the size, in characters; the command in the foreground gets a SIGWINCH.

        See ioctl_tty(2), TIOCSWINSZ.
        """
        size = check_size("rows, columns", rows, columns)
        fcntl.ioctl(self, termios.TIOCSWINSZ, struct.pack("4H", *size, 0, 0))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or to the end."""
        if size is None or size < 0:
            return self.readall()
        try:
            return super().read(size) or b""
        except OSError as error:
            return self._end(error)

    def readall(self) -> bytes:
        """Read until nobody has the terminal open any longer."""
        return b"".join(iter(lambda: self.read(1 << 16), b""))

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer; return how many bytes."""
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            return len(self._end(error))

    def isatty(self) -> bool:
        """True."""
        return True

    @staticmethod
    def _end(error: OSError) -> bytes:
        if error.errno != errno.EIO:
            raise error
        return b""


class Channel:
    """How a terminal gets from a starting box to the caller, if one is wanted. See unix(7)."""

    def __init__(self, *, wanted: bool) -> None:
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None
        if wanted:
            self._ours, self._theirs = socket.socketpair()

    @property
    def given(self) -> dict[int, int]:
        """What the box is given to send it by, by slot."""
        return {} if self._theirs is None else {Slot.TERMINAL: self._theirs.fileno()}

    def receive(self) -> Terminal | None:
        """Take the terminal; None where none was wanted, or the box ended without one."""
        if self._ours is None or self._theirs is None:
            return None
        self._theirs.close()  # so that its end is the box's
        _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not descriptors:
            return None
        return Terminal(descriptors[0])

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
