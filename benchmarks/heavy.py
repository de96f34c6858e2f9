"""The same start from callers that have much: memory, files, busy threads, mounts.

`python benchmarks/spawn.py --heavy` prints it. The mounts are in a mount namespace of the caller's.
"""

import contextlib
import os
import random
import statistics
from pathlib import Path

from caller import Caller
from report import Report, ratio

SMALL, GIBS, THREADS, MOUNTS = "small", "4 GiB resident", "4 busy threads", "1,000 mounts more"
CALLERS = {
    SMALL: {},
    GIBS: {"gib": 4},
    "15,000 open files": {"files": 15_000},
    MOUNTS: {"mounts": 1000},
    "1 busy thread": {"threads": 1},
    THREADS: {"threads": 4},
}
NSBOX, PLAIN = "nsbox.run", "subprocess.run"
WAYS = (NSBOX, PLAIN, "fork")
FORKS = 10
"""Rounds in which a fork takes part: it is slow, and soon known."""

Times = dict[tuple[str, str], list[float]]


def measure_callers(report: Report, rounds: int, true: list[str]) -> None:
    """Print what a start costs each caller, by turns, in another order each round."""
    with contextlib.ExitStack() as stack:
        callers = {}
        for name, having in CALLERS.items():
            if name == MOUNTS and os.geteuid() != 0:
                report.left_out(name, "takes root")
                continue
            callers[name] = Caller(true, having=having)
            stack.callback(callers[name].close)
        times: Times = {(name, way): [] for name in callers for way in WAYS}
        for name, way in times:
            callers[name].start(way)  # and see that it can
        for number in range(rounds):
            for name, way in random.sample(list(times), len(times)):
                if way != "fork" or number < FORKS:
                    times[name, way].append(callers[name].start(way))
    _tell(report, list(callers), times)


def _tell(report: Report, callers: list[str], times: Times) -> None:
    rows: list[list[float | str]] = []
    for name in callers:
        rows.append([name])
        for way in WAYS:
            own = times[name, way]
            rows[-1] += [statistics.median(own), ratio(own, times[SMALL, way])]
    columns = [column for way in WAYS for column in (f"{way}, ms", f"x {SMALL}")]
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    report.table(f"by caller; the host has {mounts} mounts", columns, rows)
    report.samples("by caller", {f"{name}: {way}": own for (name, way), own in times.items()})
    for name in (GIBS, MOUNTS):
        if name in callers:
            against = ratio(times[name, NSBOX], times[SMALL, NSBOX])
            report.goal(f"{NSBOX} of a caller with {name} against a small one", against, 1.4)
    busy = ratio(times[THREADS, NSBOX], times[THREADS, PLAIN])
    report.goal(f"{NSBOX} beside {THREADS} against {PLAIN} beside them", busy, 1.0)
