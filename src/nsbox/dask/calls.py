"""The boxes of one Dask worker: kept for the next call, ended with a call that is cancelled."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from distributed import Reschedule, WorkerPlugin, get_worker

from nsbox.dask.report import TOPIC, event
from nsbox.executor import BoxExecutor, BoxFuture
from nsbox.frozen import FrozenMap
from nsbox.spec import BoxSpec

Wish = tuple[BoxSpec, FrozenMap[str, Any]]

MOST_IDLE = 8
"""How many boxes of each kind a worker keeps for calls to come."""


@attrs.define(eq=False)
class _Call:
    """A call that runs: the executor that is its alone meanwhile."""

    executor: BoxExecutor
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        self.executor.kill_workers()


class Calls(WorkerPlugin):
    """The boxes of one worker, or, without one, of this process."""

    name = TOPIC

    def __init__(self, worker: Any = None) -> None:
        self._worker = None if worker is None else weakref.ref(worker)
        self._lock = threading.Lock()
        self._idle: dict[Wish, list[BoxExecutor]] = {}
        self._running: dict[Any, _Call] = {}
        self._closed = False

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        spec: BoxSpec,
        settings: FrozenMap[str, Any],
    ) -> Any:
        """Call a function in a box, and wait for what comes of it."""
        key = self._key()
        call = _Call(self._take((spec, settings)))
        with self._lock:
            self._running[key] = call
            ended = self._closed
        if ended or self._is_cancelled(key):
            call.cancel()
        future: BoxFuture | None = None
        try:
            future = call.executor.submit(function, *args, **kwargs)
            return future.result()
        except BaseException as error:
            if call.cancelled:  # who asked does not wait for it; whoever asks anew gets it anew
                raise Reschedule from error
            raise
        finally:
            with self._lock:
                self._running.pop(key, None)
            self._give_back((spec, settings), call)
            self._tell(key, spec, settings, future)

    # What Dask calls, in the thread of the worker's event loop.

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:  # noqa: ARG002
        """End the box of a call that is cancelled."""
        if finish in ("cancelled", "released", "forgotten"):
            with self._lock:
                call = self._running.get(key)
                if call is not None:  # from here on its executor is nobody else's any more
                    call.cancelled = True
            if call is not None:
                call.cancel()

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """End all boxes with the worker."""
        with self._lock:
            self._closed = True
            idle = [one for several in self._idle.values() for one in several]
            self._idle.clear()
            running = list(self._running.values())
        for call in running:
            call.cancel()
        for executor in idle:
            executor.shutdown(wait=False)

    # How it is done.

    def _take(self, wish: Wish) -> BoxExecutor:
        with self._lock:
            idle = self._idle.get(wish)
            if idle:
                return idle.pop()
        spec, settings = wish
        return BoxExecutor(spec, 1, **settings)

    def _give_back(self, wish: Wish, call: _Call) -> None:
        with self._lock:
            idle = self._idle.setdefault(wish, [])
            if not call.cancelled and not self._closed and len(idle) < MOST_IDLE:
                idle.append(call.executor)
                return
        call.executor.shutdown(wait=False)

    def _key(self) -> Any:
        if self._worker is not None:
            return get_worker().get_current_task()
        return f"thread-{threading.get_ident()}"

    def _is_cancelled(self, key: Any) -> bool:
        """Whether the word of it came before the call was known here."""
        worker = None if self._worker is None else self._worker()
        if worker is None:
            return False
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "cancelled"

    def _tell(
        self,
        key: Any,
        spec: BoxSpec,
        settings: Mapping[str, Any],
        future: BoxFuture | None,
    ) -> None:
        worker = None if self._worker is None else self._worker()
        if worker is None or future is None or not future.done():
            return
        error = None if future.cancelled() else future.exception()
        told = event(spec, settings, future.usage, error)
        with contextlib.suppress(Exception):  # the scheduler may be gone: it is only a report
            worker.log_event(TOPIC, {"key": str(key), "worker": worker.address, **told})


_of_workers: "weakref.WeakKeyDictionary[Any, Calls]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_of_process = Calls()


def calls() -> Calls:
    """Return the boxes of the worker that the calling thread works for, or of the process."""
    try:
        worker = get_worker()
    except ValueError:
        return _of_process
    with _lock:
        found = _of_workers.get(worker)
        if found is None:
            found = _of_workers[worker] = Calls(worker)
            worker.loop.add_callback(worker.plugin_add, plugin=found, name=TOPIC)
        return found
