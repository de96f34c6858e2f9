"""Boxes made ahead: each waits for a command, or for whoever starts it, and is used once.

A box that waits has everything done that its spec asks for: namespaces, root, limits, and the
rights given up. It is as isolated as one that is made on demand; only what it is for is missing.
"""

import collections
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack

from nsbox import commands
from nsbox.ahead import Ahead, Later
from nsbox.commands import Args, Invocation
from nsbox.complete import complete, left_alone, process
from nsbox.launch import Command, OutdatedError
from nsbox.options import NO_OPTIONS
from nsbox.parameters import PopenParameters, RunParameters, check_names, invoke
from nsbox.process import Process
from nsbox.spec import BoxSpec
from nsbox.straight import straight_in
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.box import Box
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.standing import Standing

Made = TypeVar("Made", bound="Ahead | Standing")

_LULL = 0.003
"""Seconds for whoever has just got a box or its answer to go on with: the others come after."""

_PAUSE = 1.0
"""Seconds until it is tried again to make a box, after that has failed."""


class Pool:
    """Boxes of one spec, `size` of them made ahead, in the background, and made anew as they go.

    `run` and `popen` start a command in one of them, sooner than `nsbox.run` does; with `stays`
    they wait for `start` instead. Each is used once, and ended as any box is; what a command's box
    leaves, such as its groups, is removed after the answer. Where none is ready, or none of that
    kind is kept, or the parameters ask for more than a command, an environment and streams, the
    box is made on demand, as `nsbox.run` and `BoxSpec.start` do. A box is not used either once what
    it was made from has changed: ``/etc``, the caller's rights, where the path of a namespace to
    join leads, and the host's mounts where its root is a copy of them, which it is for a caller
    with CAP_SYS_ADMIN, unless its root shows the interpreter.

    Each box that waits holds one process or two, of some 100 KB, its namespaces and groups, and
    three to six descriptors of the caller's. It begins in the group `cgroup`, where one is given;
    with limits of its own, below. Those that wait end with the pool: at `close`, at the end of a
    ``with`` block, or when their owner dies; those that were taken go on. In a fork of the owner a
    pool makes all on demand.

    Raises `ValueError` for a spec without a first process, with a link, ports or a handler of
    system calls, and what `nsbox.run` or `BoxSpec.start` would raise for the first box.
    """

    def __init__(
        self,
        spec: BoxSpec | None = None,
        *,
        size: int = 4,
        stays: bool = False,
        cgroup: "Cgroup | None" = None,
    ) -> None:
        if type(size) is not int or size < 1:
            raise ValueError(f"size: a number from 1 on, not {size!r}")
        if not isinstance(stays, bool):
            raise ValueError(f"stays: whether its boxes are for `start`, not {stays!r}")
        self.spec = spec = spec or BoxSpec()
        if not self.spec.init or self.spec.link is not None or self.spec.ports:
            raise ValueError("spec: one made ahead has a first process, and no link and no ports")
        if self.spec.security.handler is not None:
            raise ValueError("spec: who is asked about system calls is not made ahead")
        self.size = size
        self.stays = stays
        self._cgroup = cgroup
        kind = _standing() if stays else Ahead
        self._stock: _Stock[Any] = _Stock(lambda later: kind(spec, cgroup, later), size)
        self._closing = weakref.finalize(self, self._stock.close)
        try:
            self._stock.begin()
        except BaseException:  # a signal handler's too
            self._closing()
            raise

    def run(self, args: Args, **parameters: Unpack[RunParameters]) -> CompletedProcess:
        """Run a command in a box of its own and wait for its end: `nsbox.run`, sooner."""
        ready: Ahead | None
        check = parameters.pop("check", False)
        if not parameters and not self.stays and (ready := self._stock.take()):
            parking = ready.parking
            found = parking.first.known.glance(self.spec, args)
            if found and found[0] is parking.lowered:
                command = found[1]
            else:
                command = parking.given(self.spec, Invocation(args), self._cgroup)
            done = straight_in(ready, command, args, check)
            if done is not None:
                return done
            assert command.anew is not None
            return left_alone(command.anew(), args, check=check)
        check_names("run", parameters, RunParameters)
        invocation, rest = invoke(args, parameters)
        command, ready = self.starting(invocation)
        return complete(command, args, ready, check=check, **rest)

    def popen(self, args: Args, **parameters: Unpack[PopenParameters]) -> Process:
        """Start a command in a box of its own: `nsbox.popen`, sooner."""
        check_names("popen", parameters, PopenParameters)
        invocation, rest = invoke(args, parameters)
        command, ready = self.starting(invocation)
        return process(command, args, ready, **rest)

    def start(self) -> "Box":
        """Start a box that stays: `BoxSpec.start`, sooner where the pool has `stays`."""
        ready: Standing | None = self._stock.take() if self.stays else None
        if ready is not None:
            with contextlib.suppress(OutdatedError):
                return ready.hand_over()
        return self.spec.start(cgroup=self._cgroup)

    def starting(self, invocation: Invocation) -> tuple[Command, Ahead | None]:
        """Make a command, and take a box that is ready for it if there is one."""
        plain = invocation.options is NO_OPTIONS or invocation.options == NO_OPTIONS
        ready = self._stock.take() if plain and not self.stays else None
        if ready is None:
            return commands.starting(self.spec, invocation, self._cgroup), None
        return ready.parking.given(self.spec, invocation, self._cgroup), ready

    @property
    def ready(self) -> int:
        """How many boxes wait at the moment."""
        return len(self._stock.ready)

    def fill(self, timeout: float | None = None) -> bool:
        """Wait until `size` boxes are ready, `timeout` seconds at most; return whether they are."""
        return self._stock.fill(timeout)

    def close(self) -> None:
        """End the boxes that wait; those that have a command go on. Twice is harmless."""
        self._closing()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __repr__(self) -> str:
        kind = ", for start" if self.stays else ""
        return f"<Pool of {self.size}{kind}, {self.ready} ready>"

    def __reduce__(self) -> Any:
        raise TypeError("a Pool is a live handle; pickle its spec and make another")


def _standing() -> "type[Standing]":
    from nsbox.standing import Standing  # noqa: PLC0415 - commands do without

    return Standing


class _Stock(Generic[Made]):
    """The boxes of a pool, and the thread that makes them and takes down what they leave.

    Who takes a box, or leaves one, only rings: the bell is a lock that the thread waits for. Who
    waits for boxes does so at the condition.
    """

    def __init__(self, make: Callable[[Later], Made], size: int) -> None:
        self.size = size
        self.owner = os.getpid()
        self.ready: collections.deque[Made] = collections.deque()
        self._make_by = make
        self._chores: collections.deque[Callable[[], None]] = collections.deque()
        self._bell = threading.Lock()
        self._changed = threading.Condition()
        self._closed = self._done = False
        self._thread = threading.Thread(target=self._work, name="nsbox-pool", daemon=True)

    def begin(self) -> None:
        """Make the first, which tells of what cannot be made, and leave others to the thread."""
        self.ready.append(self._make())
        self._thread.start()

    def take(self) -> Made | None:
        if self._closed or os.getpid() != self.owner:
            return None
        try:
            ready = self.ready.popleft()
        except IndexError:
            ready = None
        if len(self.ready) <= self.size // 2:  # sooner, it would only be in the command's way
            self._ring()
        return ready

    def _make(self) -> Made:
        return self._make_by(self.later)

    def later(self, chore: Callable[[], None]) -> None:
        """Do something when there is nobody to wait for it, or at once where nobody else will."""
        self._chores.append(chore)
        if self._done:  # said before the thread looked for the last time
            self._do_chores()
            return
        try:  # noqa: SIM105 - as `_ring`: whoever has just got an answer is in a hurry
            self._bell.release()
        except RuntimeError:
            pass

    def fill(self, timeout: float | None) -> bool:
        if os.getpid() != self.owner:
            return False
        self._ring()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self.ready) >= self.size, timeout)
            return not self._closed and len(self.ready) >= self.size

    def close(self) -> None:
        if os.getpid() != self.owner:
            return
        within = self._changed._is_owned()  # type: ignore[attr-defined]
        self._closed = True
        self._tell()
        self._ring()
        if self._thread.ident is None:  # it has not begun
            self._finish()
            return
        # A signal handler, or a collection of garbage, may close it in the middle of a call that
        # has what the thread waits for.
        if self._thread is not threading.current_thread() and not within:
            self._thread.join()

    def _ring(self) -> None:
        try:  # noqa: SIM105 - whoever takes a box is in a hurry
            self._bell.release()
        except RuntimeError:  # it has been rung
            pass

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            self._keep_filled()
        finally:
            self._finish()

    def _finish(self) -> None:
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._do(self.ready.popleft().discard)
        self._done = True
        self._do_chores()
        self._tell()

    def _keep_filled(self) -> None:
        resume = 0.0
        while not self._closed:
            self._do_chores()
            if len(self.ready) >= self.size or time.monotonic() < resume:
                self._listen()
                continue
            try:
                self.ready.append(self._make())
            except Exception:  # on demand it fails again, and is told of
                resume = time.monotonic() + _PAUSE
            self._tell()

    def _listen(self) -> None:
        for made in self.ready.copy():
            if not self._closed:
                made.ripen()
        self._bell.acquire(timeout=_PAUSE if len(self.ready) < self.size else -1)
        if self.ready and not self._closed:
            self._bell.acquire(timeout=_LULL)

    def _do_chores(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._do(self._chores.popleft())

    @staticmethod
    def _do(chore: Callable[[], None]) -> None:
        with contextlib.suppress(Exception):  # what cannot be removed is left to `reap`
            chore()
