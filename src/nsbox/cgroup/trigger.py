"""A pressure trigger: the kernel tells when tasks waited long. Documentation/accounting/psi.rst."""

import os
import time

from nsbox.cgroup import pressure
from nsbox.cgroup.waiting import CHANGED, Waiter, left


class Trigger(Waiter):
    """Tells when tasks waited long for a resource; made by `Cgroup.trigger`.

    `wait` in a thread, ``await happened()`` in asyncio, or `fileno` in any loop. At most once in
    each window. It ends when the group is removed.
    """

    def __init__(self, folder: str, resource: str, kind: str, stall: float, window: float) -> None:
        super().__init__()
        self._path = f"{folder}/{resource}.pressure"
        try:
            self._watch(pressure.trigger(folder, resource, kind, stall, window), CHANGED)
        except BaseException:
            self.close()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it happens; False after `timeout` seconds, or when the group is gone."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._wait(left(deadline)) and os.path.exists(self._path)

    async def happened(self) -> bool:
        """Wait in asyncio until it happens; False when the group is gone."""
        await self._wait_async(None)  # the loop's look has taken the event: another finds none
        return os.path.exists(self._path)
