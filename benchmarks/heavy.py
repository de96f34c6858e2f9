"""The same start from callers that have much: memory, open files, threads that compute."""

import contextlib
import random
import statistics

from caller import Caller

CALLERS = {
    "small": {},
    "4 GiB resident": {"gib": 4},
    "15,000 open files": {"files": 15_000},
    "1 busy thread": {"threads": 1},
    "4 busy threads": {"threads": 4},
}
WAYS = ("nsbox.run", "subprocess.run", "fork")
FORKS = 10
"""Rounds in which a fork takes part: it is slow, and soon known."""


def measure_callers(rounds: int, true: list[str]) -> None:
    """Print what a start costs each caller, by turns, in another order each round."""
    times: dict[tuple[str, str], list[float]] = {(n, w): [] for n in CALLERS for w in WAYS}
    with contextlib.ExitStack() as stack:
        callers = {}
        for name, having in CALLERS.items():
            callers[name] = Caller(true, having=having)
            stack.callback(callers[name].close)
        for name, way in times:
            callers[name].start(way)  # and see that it can
        for number in range(rounds):
            for name, way in random.sample(list(times), len(times)):
                if way != "fork" or number < FORKS:
                    times[name, way].append(callers[name].start(way))
    _print(times)


def _print(times: dict[tuple[str, str], list[float]]) -> None:
    print(f"\nby caller, ms (x small){'':5}" + "".join(f"{way:>22}" for way in WAYS))
    for name in CALLERS:
        row = f"{name:28}"
        for way in WAYS:
            median = statistics.median(times[name, way])
            row += f"{median:13.2f} ({median / statistics.median(times['small', way]):6.2f})"
        print(row)
