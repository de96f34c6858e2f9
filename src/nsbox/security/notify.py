"""System calls of a box handed to a function of the caller's. See seccomp_unotify(2).

A thread reads what the kernel asks and writes the answer, as long as a process of the filter lives.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from nsbox import _native
from nsbox.plan import Slot

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_QUESTION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE


@attrs.frozen
class Call:
    """A system call that waits for an answer.

    `name` is its name, or its number as text where this package knows none; `arguments` are six
    numbers, of which those that are pointers mean nothing here; `pid` is that of the task that
    makes it, as the caller sees it.

    The handler returns None to let the kernel go on with it, a number for the call to return, or
    raises `OSError` with the errno that it is to fail with; whatever else it raises is told to
    `sys.unraisablehook`, and the call fails with EPERM. Letting the kernel go on is no way to
    refuse: memory that the arguments point to can be changed after it was looked at.
    """

    name: str
    arguments: tuple[int, ...]
    pid: int


Handler: TypeAlias = Callable[[Call], int | None]


class Listener:
    """How a filter's listener gets from a starting box to the caller's handler, if there is one."""

    def __init__(self, handler: Handler | None) -> None:
        self._ends: tuple[socket.socket, socket.socket] | None = None
        if handler is not None:
            self._ends = socket.socketpair()
            ours = self._ends[0].dup()
            # It listens before the exec, for that may be what is asked about.
            threading.Thread(
                target=_listen, args=(ours, handler), name="nsbox-notify", daemon=True
            ).start()

    @property
    def given(self) -> dict[int, int]:
        """What the box is given to send it by, by slot."""
        return {} if self._ends is None else {Slot.NOTIFY: self._ends[1].fileno()}

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends or ():
            end.close()


def _listen(ours: socket.socket, handler: Handler) -> None:
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:  # there was no start
        return
    (listener,) = descriptors
    try:
        asked = select.poll()
        asked.register(listener, select.POLLIN)
        while not any(event & select.POLLHUP for _, event in asked.poll()):
            _answer(listener, handler)
    finally:
        os.close(listener)


def _answer(listener: int, handler: Handler) -> None:
    question = bytearray(_QUESTION.size)
    with contextlib.suppress(FileNotFoundError):  # it was interrupted, or has ended meanwhile
        fcntl.ioctl(listener, _RECEIVE, question)
        identity, pid, _, number, _, _, *arguments = _QUESTION.unpack(question)
        call = Call(_name(number), tuple(arguments), pid)
        fcntl.ioctl(listener, _SEND, bytearray(_decide(identity, call, handler)))


def _decide(identity: int, call: Call, handler: Handler) -> bytes:
    """Return the answer: the value, the negative errno and the flags."""
    try:
        try:
            value = handler(call)
        except OSError as error:
            return _ANSWER.pack(identity, 0, -(error.errno or errno.EPERM), 0)
        if value is None:
            return _ANSWER.pack(identity, 0, 0, _CONTINUE)
        return _ANSWER.pack(identity, int(value), 0, 0)
    except BaseException as error:  # nobody above could be told
        told: Any = types.SimpleNamespace(
            exc_type=type(error),
            exc_value=error,
            exc_traceback=error.__traceback__,
            err_msg="Exception ignored in a handler of system calls",
            object=handler,
        )
        sys.unraisablehook(told)
        return _ANSWER.pack(identity, 0, -errno.EPERM, 0)


def _name(number: int) -> str:
    return next((name for name, one in _native.syscalls().items() if one == number), str(number))
