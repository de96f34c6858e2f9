"""A fleet on a running asyncio loop: see `nsbox.aio.start_fleet`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Unpack

from nsbox.box import Box
from nsbox.fleet.fleet import Fleet
from nsbox.parameters import RunParameters, check_names
from nsbox.pipes import StrOrBytesPath
from nsbox.usage import CompletedProcess

Runner = Callable[..., Any]
"""Runs a command in a box, and is awaited: `nsbox.aio.Box.run`, which stands above this."""


class AwaitedFleet:
    """A fleet whose calls are awaited; made by `nsbox.aio.start_fleet`. `sync` is the `Fleet`."""

    def __init__(self, sync: Fleet, runner: Runner) -> None:
        self.sync = sync
        self._runner = runner

    async def run(
        self,
        args: StrOrBytesPath | Sequence[StrOrBytesPath],
        **parameters: Unpack[RunParameters],
    ) -> tuple[CompletedProcess | BaseException, ...]:
        """Run a command in all boxes at once, without a thread each.

        Returns what came of each, in the order of the specs: as `asyncio.gather` does with
        ``return_exceptions=True``, what a box raised stands in its place.
        """
        check_names("run", parameters, RunParameters)
        runs = (self._in(place, args, parameters) for place in range(len(self.sync)))
        return tuple(await asyncio.gather(*runs, return_exceptions=True))

    async def _in(self, place: int, args: Any, parameters: Any) -> CompletedProcess:
        box: Box = self.sync[place]
        done: CompletedProcess = await self._runner(box, args, **parameters)
        return done

    async def restart(self, *args: Any, **parameters: Any) -> None:
        """Restart all, a few at a time, in a thread, as `Fleet.restart` does."""
        await asyncio.to_thread(self.sync.restart, *args, **parameters)

    async def stop(self, timeout: float | None = 10) -> tuple[int | None, ...]:
        """End all, in a thread, as `Fleet.stop` does."""
        return await asyncio.to_thread(self.sync.stop, timeout)

    async def close(self) -> None:
        """End all at once. Twice is harmless."""
        await asyncio.to_thread(self.sync.close)

    async def __aenter__(self) -> "AwaitedFleet":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False
