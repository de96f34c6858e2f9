"""Waiting for the kernel's word on a group: for threads, asyncio and any loop with descriptors.

A cgroup file that has changed polls POLLPRI, and POLLIN always. An epoll(7) descriptor that watches
for the first alone is itself readable when there is something to see, which is what all loops take.
"""

import contextlib
import os
import select
import time
import warnings
from typing import Any, Literal

CHANGED = select.EPOLLPRI | select.EPOLLERR
READABLE = select.EPOLLIN


class Waiter:
    """Owns the descriptors that are waited for. A context manager; `close` twice is harmless."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = select.epoll()
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to see."""
        if self._epoll is None:
            raise ValueError("closed")
        return self._epoll.fileno()

    def close(self) -> None:
        """Stop listening."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if getattr(self, "_epoll", None) is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' closed' if self._epoll is None else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} is a live handle, and cannot be pickled")

    def _watch(self, descriptor: int, mask: int) -> None:
        """Take a descriptor over, and wait for what the mask says."""
        self._descriptors.append(descriptor)
        if self._epoll is not None:
            self._epoll.register(descriptor, mask)

    def _wait(self, timeout: float | None) -> bool:
        """Wait in this thread; False after `timeout` seconds."""
        if self._epoll is None:
            raise ValueError("closed")
        return bool(self._epoll.poll(-1 if timeout is None else max(timeout, 0)))

    async def _wait_async(self, timeout: float | None) -> None:
        """Wait in the running asyncio loop, up to `timeout` seconds."""
        import asyncio  # noqa: PLC0415 - heavy, and only for those who have it loaded anyway

        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        descriptor = self.fileno()
        loop.add_reader(descriptor, wake)
        timer = None if timeout is None else loop.call_later(timeout, wake)
        try:
            await woken
        finally:
            with contextlib.suppress(ValueError):
                loop.remove_reader(descriptor)
            if timer is not None:
                timer.cancel()


def left(deadline: float | None) -> float | None:
    """Return the seconds until a time of `time.monotonic`."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
