"""A process that keeps its rights, and forks that give them up and become processes of boxes.

What is here is done in the nursery of an executor: see `nsbox.executor.nursery`. Each module that
is loaded there makes each fork dearer: so nothing is, but what it takes to do steps.
"""

import errno
import fcntl
import functools
import importlib
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox._native.values import Encoded

ANSWERS = 3
"""The descriptor that a fork has beside the standard ones."""

BECAME, FAILED = b"B", b"F"
"""The first byte of a fork, before any of the call is run: what it tells is its own.

It became a process of its box and takes its call; or it did not, and a message says why.
"""


class Inside(Protocol):
    """What answers calls, in whatever box: `nsbox.executor.inside`, as it runs here."""

    WITH_CLOUDPICKLE: bytes

    def set_dumpable(self, value: int) -> None:
        """Whether others may look into the process."""

    def freeze(self) -> None:
        """Keep what is there for the forks to share."""

    def end_input(self) -> None:
        """Have a standard input of its own."""

    def be_call(self, fd: int, settings: Any) -> None:
        """Be the process of one call, to its end."""

    def reap(self) -> dict[int, int]:
        """Wait for the children that have ended."""

    def send(self, sock: socket.socket, head: Any, body: bytes = b"") -> None:
        """Send a message."""

    def failed(self, error: BaseException) -> tuple[Any, bytes]:
        """Put an exception into a message."""


class NotDone(Exception):  # noqa: N818 - it says what happened
    """A step failed: its `index` among the steps, and its `errno`."""

    def __init__(self, index: int, errno: int) -> None:
        super().__init__(index, errno)
        self.index = index
        self.errno = errno


class Zygote:
    """The process, once it has all that its forks are to have.

    `begetting` are the steps before a fork, by the box's pid namespace; `becoming` are those of
    the fork, by the others. What is given to either has the slots in `slots`, in this order.
    `codes` are the operations as they are numbered there; raises `ValueError` where the package
    that is here numbers them otherwise.
    """

    def __init__(
        self,
        begetting: Encoded,
        becoming: Encoded,
        slots: Sequence[int],
        codes: Mapping[str, int],
    ) -> None:
        if codes != {operation.name: operation.code for operation in Operation}:
            raise ValueError("the installed nsbox is not the one that this process has loaded")
        self._begetting = begetting
        self._becoming = becoming
        self._pid_slot, *self._slots = slots
        _native.first_process()  # now, and not in every fork

    def beget_in(self, pid_namespace: int) -> None:
        """Have children of the process begin in this pid namespace. See pid_namespaces(7).

        It stays where it is itself, and can do so again and again. Raises `NotDone`.
        """
        _do(self._begetting, {self._pid_slot: pid_namespace})

    def become(self, answers: int, namespaces: Sequence[int]) -> None:
        """In a fork: enter the other namespaces of the box, in the order of the steps, and do them.

        No descriptor is left but the standard ones and `answers`, as `ANSWERS`. Raises `NotDone`;
        the fork is neither here nor there then, and must end. Raises `OSError`, with `answers` as
        it was, where it may not have that many.
        """
        # Out of the way of those that stay, and no further: their number has a limit.
        least = ANSWERS + 1
        apart = [
            fd if fd >= least else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
            for fd in namespaces
        ]
        os.dup2(answers, ANSWERS, inheritable=False)
        close_from(ANSWERS + 1, apart)
        _do(self._becoming, dict(zip(self._slots, apart, strict=True)))
        _native.first_process.cache_clear()


def _do(plan: Encoded, by_slot: Mapping[int, int]) -> None:
    """Have the calling thread do steps."""
    given = [by_slot.get(slot, -1) for slot in range(max(by_slot) + 1)]
    outcome = _native.launch(plan, (), (), given).outcome
    if outcome.error:
        raise NotDone(outcome.step, outcome.error)


def close_from(first: int, kept: Sequence[int] = ()) -> None:
    """Close all descriptors from a number on: by one of a folder, a box would not be closed."""
    for fd in [*sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]:
        if first < fd:
            os.closerange(first, fd)
        first = fd + 1


def serve(control: socket.socket, settings: Any, plans: Any, inside: Inside) -> None:
    """Answer each call in a fork that becomes a process of a box, and say how it ended.

    The box is the caller's to end, with all that is left in it. Nothing in it can reach this
    process, which is in none of its namespaces.
    """
    zygote = Zygote(*plans)
    inside.set_dumpable(0)
    children, running = Children(inside.reap), -1
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(children, select.POLLIN)
    inside.freeze()
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if children.fileno() in ready:
            status = children.reap().get(running)
            if status is not None:
                told = {"status": os.waitstatus_to_exitcode(status), "again": True}
                inside.send(control, told)
        if control.fileno() not in ready:
            continue
        word, descriptors, _, _ = socket.recv_fds(
            control, 1, settings["nursery"] + 1, socket.MSG_CMSG_CLOEXEC
        )
        if not word:
            return
        if word == inside.WITH_CLOUDPICKLE and "cloudpickle" not in sys.modules:
            importlib.import_module("cloudpickle")
            inside.freeze()
        sys.stdout.flush()
        try:
            if len(descriptors) <= settings["nursery"]:  # it may not have that many
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            fd, pid_namespace, *others = descriptors
            zygote.beget_in(pid_namespace)
            running = os.fork()
        except (OSError, NotDone) as error:  # there is no room, or its box has ended
            running = -1
            inside.send(control, {"errno": error.errno, "again": True})
        if running == 0:
            children.forget()
            control.detach()  # all descriptors but one are closed
            be_boxed_call(fd, settings, functools.partial(zygote.become, fd, others), inside)
        for descriptor in descriptors:
            os.close(descriptor)


class Children:
    """Waits for all children that end, whoever began them; `fileno` is readable once some have.

    A call can begin some: CLONE_PARENT in clone(2) makes its parent theirs. The first process of
    its box does not end before all in the box have been waited for, see pid_namespaces(7).
    """

    def __init__(self, reap: Callable[[], dict[int, int]]) -> None:
        self._reap = reap
        self._ended, self._told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return what can be polled."""
        return self._ended

    def reap(self) -> dict[int, int]:
        """Return the statuses of those that have ended since, by their ids."""
        os.read(self._ended, 1 << 12)
        return self._reap()

    def forget(self) -> None:
        """In a fork: have signals as they were before."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if self._handler is None else self._handler)


def be_boxed_call(fd: int, settings: Any, become: Callable[[], None], inside: Inside) -> None:
    """Be the process of one call, in a box, to its end."""
    try:
        inside.end_input()
        try:
            become()
        except Exception as error:
            tell_of_failure(error, fd, inside)
            return
        os.write(ANSWERS, BECAME)
        inside.be_call(ANSWERS, settings)
    finally:
        os._exit(1)


def tell_of_failure(error: Exception, fd: int, inside: Inside) -> None:
    """Say which step was not done; or what kept the fork, with its descriptors still, from them."""
    step = isinstance(error, NotDone)
    with socket.socket(fileno=ANSWERS if step else fd) as told:
        told.sendall(FAILED)
        if isinstance(error, NotDone):
            inside.send(told, {"kind": "step", "index": error.index, "errno": error.errno})
        else:
            inside.send(told, *inside.failed(error))
