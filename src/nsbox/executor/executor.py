"""An executor whose workers are interpreters in boxes."""

import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from nsbox.display import Displayed
from nsbox.executor.carry import Results
from nsbox.executor.crew import BoxFuture, Crew, Item
from nsbox.executor.nursery import can_be
from nsbox.executor.settings import Isolation, Settings
from nsbox.fields import StrPath
from nsbox.pipes import Stream
from nsbox.pool import Pool
from nsbox.rootfs import RootFS
from nsbox.spec import BoxSpec

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

P = ParamSpec("P")
T = TypeVar("T")


class BoxExecutor(Displayed, Executor):
    """A `concurrent.futures.Executor` whose calls run in boxes of `spec`.

    A `spec` must show the interpreter, as `RootFS.system(python=True)` does; that is the root of
    the boxes without one. Up to `max_workers` boxes (as many as the caller has CPUs, if None) are
    started as they are needed. The other parameters:

    - `isolation`: what a call does not share with other calls. ``"process"``: each gets a fork of
      an interpreter that has the modules `preload` imported, in a box of its own where
      `box_per_call` says so. Else that is the worker's box: all that a call leaves is ended, /tmp
      and /dev/shm of the box emptied, before the next call there. ``"box"``: each gets a box and an
      interpreter of its own. ``"none"``: the calls of a worker share one interpreter.
    - `timeout`: seconds, up to 24 days, after which a call is ended, with a `TimeoutError`.
    - `memory_max`: bytes or ``"512M"``, the RLIMIT_DATA of each process, see getrlimit(2): mostly a
      `MemoryError`. `Resources` of the spec limit a worker as a whole, with the box of its call.
    - `output_max`: bytes or ``"1M"``, the longest result or exception; else an `OSError`, EMSGSIZE.
    - `results`: ``"pickle"``, or ``"plain"`` for code that is not trusted: unpickling runs what the
      box says. Plain are None, bool, int, float, complex, str, bytes, tuple, list, dict, set,
      frozenset and built-in exceptions; others are `RemoteError`.
    - `python`: the interpreter, by its path in the box; the caller's own, with the caller's import
      path, if None.
    - `stdout`, `stderr`: where what calls print goes, as for `nsbox.popen`.
    - `cgroup`: the group in which the boxes begin.
    - `pool`: a `Pool` that the boxes are taken from, as they are needed; the spec and the group are
      the pool's then, and so is its end: it is left open.

    Functions and arguments travel by pickle; by cloudpickle, where it is installed, also what is
    defined in ``__main__`` or in a notebook. Without it, functions of ``__main__`` do, classes do
    not. A call whose worker ends has `WorkerDied` as its exception, and no other has.

    Leaving the ``with`` block waits for the calls, except for an interrupt, which ends them. It is
    of use in its own process alone: a fork of that can submit nothing. Raises `ValueError`.
    """

    def __init__(
        self,
        spec: BoxSpec | None = None,
        max_workers: int | None = None,
        *,
        isolation: Isolation = "process",
        preload: Iterable[str] = (),
        timeout: float | None = None,
        memory_max: int | str | None = None,
        output_max: int | str | None = None,
        results: Results = "pickle",
        python: StrPath | None = None,
        stdout: Stream = None,
        stderr: Stream = None,
        cgroup: "Cgroup | None" = None,
        pool: Pool | None = None,
    ) -> None:
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        if type(max_workers) is not int or max_workers < 1:
            raise ValueError(f"max_workers: a number above 0, not {max_workers!r}")
        if spec is None:
            spec = pool.spec if isinstance(pool, Pool) else _DEFAULT
        settings = Settings(
            spec=spec,
            isolation=isolation,
            preload=preload,
            timeout=timeout,
            memory_max=memory_max,
            output_max=output_max,
            results=results,
            python=python,
            stdout=stdout,
            stderr=stderr,
            cgroup=cgroup,
            pool=pool,
        )
        self._crew = Crew(settings, max_workers)
        self._max_workers = max_workers

    @property
    def spec(self) -> BoxSpec:
        """What its boxes are like."""
        return self._crew.settings.spec

    @property
    def settings(self) -> Settings:
        """What its workers go by."""
        return self._crew.settings

    @property
    def box_per_call(self) -> bool:
        """Whether a call shares its box with no other, as far as can be told beforehand.

        With isolation "process" that takes the caller's own interpreter and a root that is
        ``RootFS.system(python=True)``, with nothing mounted where modules are imported from, and no
        mount by which a box could write there: what forks for the calls has the caller's rights.
        A spec with a link, ports, a label or a handler of system calls has one box for all calls
        of a worker, and so has one that joins a user namespace, or is not root in its own.
        """
        isolation = self.settings.isolation
        return isolation == "box" or (isolation == "process" and can_be(self.settings))

    @property
    def max_workers(self) -> int:
        """How many calls run at once."""
        return self._max_workers

    @property
    def closed(self) -> bool:
        """Whether it has been shut down."""
        return self._crew.closed

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> BoxFuture:
        """Have a function called in a box; return the future of its result.

        Raises `RuntimeError` after `shutdown`, in a fork of the executor's process, and where not
        even one thread can be started.
        """
        future = BoxFuture()
        self._crew.submit(Item(future, (fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, end the boxes when those before are done; see `Executor.shutdown`."""
        self._crew.close(cancel=cancel_futures)
        if wait:
            self._crew.join()

    def kill_workers(self) -> None:
        """End all boxes at once: calls that run get `WorkerDied`, those that wait are cancelled."""
        self._crew.kill()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        if kind is not None and not issubclass(kind, Exception):
            self.kill_workers()  # an interrupt does not reach the boxes by itself
        self.shutdown()
        return False

    def __del__(self) -> None:
        crew: Crew | None = getattr(self, "_crew", None)
        if crew is None or crew.closed or crew.foreign:
            return
        warnings.warn(f"{self!r} was not shut down", ResourceWarning, 2, self)
        crew.close()

    def __repr__(self) -> str:
        state = "shut down" if self._crew.closed else self._crew.settings.isolation
        return f"<BoxExecutor max_workers={self._max_workers} {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a BoxExecutor is a live handle; pickle its BoxSpec instead: .spec")


_DEFAULT = BoxSpec(rootfs=RootFS.system(python=True))
