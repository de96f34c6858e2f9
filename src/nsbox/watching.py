"""Usage over time: what a box or a group uses, looked at again and again by a thread."""

import sys
import threading
import time
from collections import deque
from typing import Any, Literal, Protocol

import attrs

from nsbox.cgroup import Resources
from nsbox.cgroup.stats import Stats
from nsbox.display import Displayed
from nsbox.errors import NsboxError

KEPT = 240
"""How many looks back are kept."""


class Watchable(Protocol):
    """A `Box` or a `Cgroup`."""

    def stats(self) -> Stats:
        """Read what it uses."""


@attrs.frozen(kw_only=True)
class Sample:
    """What was used at a time: seconds of the monotonic clock, bytes, CPU seconds, tasks.

    What its group does not count, and a limit that it has not, is None.
    """

    time: float
    memory: int | None = None
    memory_max: int | None = None
    cpu_seconds: float | None = None
    cpu_max: float | None = None
    pids: int | None = None
    pids_max: int | None = None


class Watch(Displayed):
    """What a box or a group uses, over time; made by `watch`.

    In IPython's notebooks the picture refreshes itself, elsewhere it shows what was seen so far.
    It ends with what it watches, with `close`, and with a ``with`` block.
    """

    def __init__(self, watched: Watchable, interval: float) -> None:
        self.name = getattr(getattr(watched, "spec", watched), "hostname", None) or str(
            getattr(watched, "path", "a box")
        )
        self.interval = interval
        self._watched = watched
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._stopped = threading.Event()
        self._shown: list[Any] = []
        self._look()
        self._thread = threading.Thread(target=self._run, name="nsbox-watch", daemon=True)
        self._thread.start()

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was seen so far, the latest last; up to 240 looks back."""
        return tuple(self._samples)

    @property
    def seconds(self) -> float:
        """How many seconds back a picture goes."""
        return self.interval * (KEPT - 1)

    @property
    def running(self) -> bool:
        """Whether it still watches."""
        return not self._stopped.is_set()

    def close(self) -> None:
        """Watch no longer. What was seen stays; twice is harmless."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self.interval) and self._look():
            self._refresh()
        self._stopped.set()
        self._refresh()

    def _look(self) -> bool:
        """Take a sample; return False where there is nothing more to see."""
        try:
            if _is_there(self._watched):
                self._samples.append(_sample(self._watched))
                return True
        except (OSError, ValueError, NsboxError):  # it has ended meanwhile, or is not counted
            pass
        self._stopped.set()
        return False

    def _refresh(self) -> None:
        for handle in self._shown:
            handle.update(_Picture(self))

    def _repr_svg_(self) -> str:
        from nsbox.display.watching import svg  # noqa: PLC0415 - only what is shown pays for it

        return str(svg(self))

    def _ipython_display_(self) -> None:
        """Show it, and keep that up to date. IPython alone calls this, and so is there."""
        display = sys.modules["IPython.display"].display
        self._shown.append(display(_Picture(self), display_id=True))

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __repr__(self) -> str:
        state = "watching" if self.running else "ended"
        return f"<Watch of {self.name!r}: {len(self._samples)} samples, {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Watch is a live handle, and cannot be pickled; its samples can")


class _Picture:
    """What a watch shows, without the wish to be kept up to date."""

    def __init__(self, watch: Watch) -> None:
        self._html = watch._repr_html_()
        self._text = repr(watch)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def watch(watched: Watchable, *, interval: float = 0.5) -> Watch:
    """Watch what a box or a group uses, from now on, every `interval` seconds.

    As the last line of a notebook's cell it is a picture that refreshes itself; anywhere, `samples`
    are the figures. Raises `ValueError` for an interval below 0.02 s.

        >>> nsbox.watch(box)                                       # doctest: +SKIP
    """
    if not isinstance(interval, int | float) or not interval >= 0.02:
        raise ValueError(f"interval: seconds from 0.02 up, not {interval!r}")
    return Watch(watched, interval)


def _is_there(watched: Any) -> bool:
    """Whether a box has not ended, a group not gone: the figures of both are merely empty then."""
    return watched.poll() is None if hasattr(watched, "poll") else getattr(watched, "exists", True)


def _sample(watched: Watchable) -> Sample:
    group: Any = getattr(watched, "cgroup", watched)
    parts, limits = watched.stats().parts, group.resources
    memory, cpu, pids = (parts.get(name) for name in ("memory", "cpu", "pids"))
    return Sample(
        time=time.monotonic(),
        memory=memory and memory.current,
        memory_max=_number(limits, "memory_max"),
        cpu_seconds=cpu and cpu.usage_seconds,
        cpu_max=_cpus(limits.cpu_max),
        pids=pids and pids.current,
        pids_max=_number(limits, "pids_max"),
    )


def _number(limits: Resources, field: str) -> int | None:
    value = getattr(limits, field)
    return value if isinstance(value, int) else None


def _cpus(limit: Any) -> float | None:
    if isinstance(limit, tuple):
        limit = limit[0] / limit[1]
    return None if limit in (None, "max") else float(limit)
