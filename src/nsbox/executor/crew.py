"""The threads of an executor: each has a worker, and takes one call after another from a queue.

They know nothing of the executor itself, so that one that is forgotten ends. They are daemons,
which the interpreter's exit does not wait for; `_at_exit` does, as concurrent.futures has it: what
was submitted is done first, unless it is an interrupt that ends the interpreter.
"""

import atexit
import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import attrs

from nsbox.errors import WorkerDied
from nsbox.executor.settings import Settings
from nsbox.executor.worker import Outcome, Worker
from nsbox.usage import Usage


class BoxFuture(Future[Any]):
    """A `concurrent.futures.Future` that also tells the `usage` of its call, once it is done.

    It is what the call's process told of itself, None where it did not come to that.
    """

    usage: Usage | None = None


@attrs.frozen(eq=False)
class Item:
    """A call that was submitted."""

    future: BoxFuture
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Crew:
    """The threads of one executor, and what they share. Only its own process uses it.

    A handler of a signal may close and kill, also where it has interrupted `submit`: the lock can
    be taken again by who has it, and is none that the threads need to end.
    """

    def __init__(self, settings: Settings, size: int) -> None:
        self.settings = settings
        self.closed = False
        self.killed = False
        self._size = size
        self._pid = os.getpid()
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._workers: set[Worker] = set()
        _crews.add(self)

    @property
    def foreign(self) -> bool:
        """Whether this is a fork of the process that it belongs to: the threads are not here."""
        return os.getpid() != self._pid

    def submit(self, item: Item) -> None:
        """Take a call.

        Raises `RuntimeError` where none are taken any longer, and where there is no thread to do it
        and none can be started.
        """
        if self.foreign:
            raise RuntimeError("cannot schedule new futures in a fork of the executor's process")
        with self._lock:
            if self.closed:
                raise _after_shutdown()
            self._queue.put(item)
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
                self._add_thread(item)
            # By a signal's handler, just now: the call may stand behind the end of the queue.
            if self.closed and item.future.cancel():
                raise _after_shutdown()

    def _add_thread(self, item: Item) -> None:
        name = f"nsbox-executor-{len(self._threads)}"
        thread = threading.Thread(target=_work, args=(self,), name=name, daemon=True)
        self._threads.append(thread)
        try:
            thread.start()
        except Exception:
            self._threads.remove(thread)
            if not self._threads:
                item.future.cancel()  # it stays in the queue, where it is passed over
                raise
            # else it waits for one of those that there are

    def close(self, *, cancel: bool = False) -> None:
        """Take no more calls; do, or cancel, those that wait."""
        if self.foreign:
            return
        with self._lock:
            self.closed = True
        if cancel:
            self._cancel()
        self._queue.put(None)

    def kill(self) -> None:
        """End the calls that run, and cancel the others."""
        if self.foreign:
            return
        self.killed = True
        self.close(cancel=True)
        for worker in list(self._workers):  # one that comes later sees that all are killed
            worker.kill()

    def join(self) -> None:
        """Wait until all threads have ended, and their workers."""
        if not self.foreign:
            for thread in list(self._threads):
                if thread.is_alive():  # and not one that `submit`, interrupted, is about to start
                    thread.join()

    def next(self) -> Item | None:
        """Wait for a call; None at the end."""
        try:
            item = self._queue.get_nowait()
        except queue.Empty:
            self._idle.release()
            item = self._queue.get()
        if item is None:
            self._queue.put(None)  # for the next thread
        return item

    def start(self) -> Worker:
        """Start a worker, and know of it."""
        worker = Worker(self.settings)
        self._workers.add(worker)
        if self.killed:
            worker.kill()
        return worker

    def end(self, worker: Worker) -> None:
        """End a worker."""
        self._workers.discard(worker)
        worker.close()

    def _cancel(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is not None and item.future.cancel():
                item.future.set_running_or_notify_cancel()


def _after_shutdown() -> RuntimeError:
    return RuntimeError("cannot schedule new futures after shutdown")


def _work(crew: Crew) -> None:
    """Do calls, one after the other, each by a worker that is fit for it."""
    worker: Worker | None = None
    try:
        while (item := crew.next()) is not None:
            if item.future.set_running_or_notify_cancel():
                worker = _do(crew, worker, item)
            del item
            if worker is not None:
                worker.rest()
                if not worker.alive:
                    crew.end(worker)
                    worker = None
            if worker is None and crew.settings.isolation == "box" and not crew.closed:
                worker = _ahead(crew)
    finally:
        if worker is not None:
            crew.end(worker)


def _ahead(crew: Crew) -> Worker | None:
    """Start the next call's box ahead of it; what is in the way is for that call to find."""
    try:
        return crew.start()
    except Exception:
        return None


def _do(crew: Crew, worker: Worker | None, item: Item) -> Worker | None:
    """Do one call, and say what came of it; return the worker."""
    future = item.future
    try:
        if worker is not None and not worker.alive:
            crew.end(worker)
            worker = None
        if crew.killed:
            raise WorkerDied("the executor was ended before the call began")
        worker = worker or crew.start()
        outcome: Outcome = worker.call(item.call)
    except BaseException as error:
        future.set_exception(error)
        return worker
    future.usage = outcome.usage
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
    return worker


_crews: "weakref.WeakSet[Crew]" = weakref.WeakSet()


def _at_exit() -> None:
    crews = [crew for crew in _crews if not crew.foreign]
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for crew in crews:
        if interrupted:
            crew.kill()
        else:
            crew.close()
    try:
        for crew in crews:
            crew.join()
    except BaseException:
        for crew in crews:
            crew.kill()
            crew.join()
        raise


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_crews.clear)
