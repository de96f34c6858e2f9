"""Many boxes, started and stopped together."""

import contextlib
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from nsbox.box import Box
from nsbox.cgroup.meter import Meter
from nsbox.cgroup.stats import Stats
from nsbox.display import Displayed
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.fleet.each import each, errors
from nsbox.fleet.table import FleetRow, FleetStats
from nsbox.frozen import FrozenMap
from nsbox.parameters import RunParameters, check_names
from nsbox.pipes import StrOrBytesPath
from nsbox.progress import Progress, silent
from nsbox.spec import BoxSpec
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

Result = TypeVar("Result")
Ready = Callable[[Box], object]


class Fleet(Displayed):
    """Boxes that are started and stopped together; made by `start`.

    One that cannot be started keeps none of the others from running. As with the futures of
    `concurrent.futures`, its error waits where the box would be: ``fleet[3]`` raises it, and so
    does going through all of them; `boxes` are those that were started, `errors` are the others.
    Leaving a ``with`` block ends all.
    """

    def __init__(
        self, specs: Iterable[BoxSpec], max_workers: int | None, cgroup: "Cgroup | None"
    ) -> None:
        self._specs = list(specs)
        self._max_workers = max_workers
        self._cgroup = cgroup
        self._members: list[Box | Exception | None] = [None] * len(self._specs)
        self._closed = False

    @classmethod
    def start(
        cls,
        specs: Iterable[BoxSpec],
        *,
        check: bool = False,
        max_workers: int | None = None,
        progress: Progress | None = None,
        cgroup: "Cgroup | None" = None,
    ) -> "Fleet":
        """Start a box of each spec, `max_workers` at a time; return when all have been tried.

        Under `check` one that could not be started ends the others, and an `ExceptionGroup` of all
        such errors is raised. `progress` is told of each as it is there, see `nsbox.fleet.on_bar`.
        All begin in the group `cgroup`, where one is given. `max_workers` is also how many at a
        time `each`, `run` and `restart` deal with; None is what `concurrent.futures` takes.
        """
        if max_workers is not None and (type(max_workers) is not int or max_workers < 1):
            raise ValueError(f"max_workers: a number above 0, not {max_workers!r}")
        fleet = cls(specs, max_workers, cgroup)
        try:
            started = fleet._each(fleet._start, range(len(fleet)), progress)
            if check:
                errors(started, "boxes could not be started")
        except BaseException:
            fleet.close()
            raise
        return fleet

    # Who is in it.

    @property
    def specs(self) -> tuple[BoxSpec, ...]:
        """What its boxes are like, in their order."""
        return tuple(self._specs)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Those that were started, in the order of their specs; some may have ended since."""
        return tuple(member for member in self._members if isinstance(member, Box))

    @property
    def errors(self) -> FrozenMap[int, Exception]:
        """What kept the others from starting, by place."""
        failed = enumerate(self._members)
        return FrozenMap({place: one for place, one in failed if isinstance(one, Exception)})

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, place: int) -> Box:
        member = self._members[place]
        if isinstance(member, Exception):
            raise member
        if member is None:
            raise NsboxError(f"box {place} was not started: the start was interrupted")
        return member

    def __iter__(self) -> Iterator[Box]:
        return (self[place] for place in range(len(self)))

    # What is done with all of them.

    def each(
        self, function: Callable[[Box], Result], *, progress: Progress | None = None
    ) -> tuple[Future[Result], ...]:
        """Call a function with each box, in threads; return a future of each call, all done.

        The futures are in the order of the specs. One of a box that could not be started has that
        error as its own.
        """
        return self._each(lambda place: function(self[place]), range(len(self)), progress)

    def run(
        self,
        args: StrOrBytesPath | Sequence[StrOrBytesPath],
        *,
        progress: Progress | None = None,
        **parameters: Unpack[RunParameters],
    ) -> tuple[Future[CompletedProcess], ...]:
        """Run a command in each box, as `Box.run` does with the same parameters; see `each`."""
        check_names("run", parameters, RunParameters)
        return self.each(lambda box: box.run(args, **parameters), progress=progress)

    def stats(self) -> FleetStats:
        """Read what all of them use, as one table; one that has ended tells nothing."""
        groups: dict[int, Cgroup] = {}
        for place, member in enumerate(self._members):
            if isinstance(member, Box) and member.poll() is None:
                with contextlib.suppress(UnsupportedError):  # no group could be made for it
                    groups[place] = member.cgroup
        told: dict[int, Stats] = {}
        if groups:
            with Meter(groups.values()) as meter:
                told = dict(zip(groups, meter.read(), strict=True))
        return FleetStats(
            tuple(self._row(place, told.get(place, Stats())) for place in range(len(self)))
        )

    def restart(
        self,
        specs: Iterable[BoxSpec] | None = None,
        *,
        at_once: int = 1,
        ready: Ready | None = None,
        timeout: float | None = 10,
        progress: Progress | None = None,
    ) -> None:
        """Stop and start all of them anew, `at_once` at a time, while the others run.

        The next ones have their turn when `ready`, called with each new box, has returned. `specs`,
        as many as there are boxes, are what the new ones are like. A box gets `timeout` seconds to
        end after SIGTERM, see `Box.stop`. An error, of a start or of `ready`, ends this after those
        whose turn it is: it is raised as an `ExceptionGroup`, and the others are left as they are.
        """
        renewed = list(self._specs if specs is None else specs)
        if len(renewed) != len(self):
            raise ValueError(f"specs: as many as there are boxes, {len(self)}, not {len(renewed)}")
        if type(at_once) is not int or at_once < 1:
            raise ValueError(f"at_once: a number above 0, not {at_once!r}")
        self._check_open()

        def renew(place: int) -> None:
            self._specs[place] = renewed[place]
            self._renew(place, timeout, ready)

        for first in range(0, len(self), at_once):
            turn = range(first, min(first + at_once, len(self)))
            done = self._each(renew, turn, _later(progress or silent, first, len(self)))
            errors(done, "boxes could not be started anew")

    # Their end.

    def stop(self, timeout: float | None = 10) -> tuple[int | None, ...]:
        """End all of them: SIGTERM to all at once, SIGKILL after `timeout` seconds (None: never).

        Returns the return codes of their first processes, None where there was no box.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for box in self.boxes:
            box.terminate()
        failed = []
        for box in self.boxes:
            try:
                _end(box, deadline)
            except Exception as error:
                failed.append(error)
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(self)} boxes ended in an error", failed)
        return tuple(one.poll() if isinstance(one, Box) else None for one in self._members)

    def close(self) -> None:
        """End all that are alive, at once, and let go of everything. Twice is harmless."""
        self._closed = True
        for box in self.boxes:
            box.kill()
        failed = []
        for box in self.boxes:
            try:
                box.close()
            except Exception as error:
                failed.append(error)
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(self)} boxes could not be closed", failed)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and any(box.poll() is None for box in self.boxes):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        alive = sum(box.poll() is None for box in self.boxes)
        failed = f", {len(self.errors)} failed" if self.errors else ""
        return f"<Fleet of {len(self)}, {alive} alive{failed}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Fleet is a live handle; pickle its specs instead: fleet.specs")

    # How it is done.

    def _each(
        self, function: Callable[[int], Result], places: range, progress: Progress | None
    ) -> tuple[Future[Result], ...]:
        self._check_open()
        names = [self._specs[place].hostname or f"box {place}" for place in places]
        return each(function, places, names, self._max_workers, progress or silent)

    def _start(self, place: int) -> Box:
        try:
            box = self._members[place] = self._specs[place].start(cgroup=self._cgroup)
        except Exception as error:
            error.add_note(f"box {place} of the fleet, {self._specs[place].hostname!r}")
            self._members[place] = error
            raise
        if self._closed:  # meanwhile, by somebody who did not wait
            box.close()
            self._check_open()
        return box

    def _renew(self, place: int, timeout: float | None, ready: Ready | None) -> None:
        old = self._members[place]
        if isinstance(old, Box):
            with old:
                old.stop(timeout)
        box = self._start(place)
        if ready is not None:
            ready(box)

    def _row(self, place: int, stats: Stats) -> FleetRow:
        name, member = self._specs[place].hostname, self._members[place]
        state = "failed"
        if isinstance(member, Box):
            state = "alive" if member.poll() is None else "ended"
        return FleetRow(place=place, name=name, state=state, stats=stats)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")


def _end(box: Box, deadline: float | None) -> None:
    """Wait for the end of a box, and have it end at the deadline."""
    try:
        box.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        box.kill()
        box.wait()


def _later(report: Progress, before: int, total: int) -> Progress:
    """Return a progress function for a part, before which so many were done."""
    return lambda done, _, name: report(before + done, total, name)
