"""The figures of many groups: a `Meter` against opening, reading and parsing each file anew.

    python benchmarks/stats.py [--groups N] [--rounds N] [--json FILE]

It makes groups of its own, and removes them. Contestants take turns, in another order each round;
the ratio is taken round by round.
"""

import os
import resource
import statistics
import subprocess
from collections.abc import Callable, Sequence

from report import Report, Times, interleaved, parser, ratio, timed

from nsbox import Cgroup, Meter, Stats
from nsbox.cgroup import reading

Figures = dict[str, int | dict[str, int | float]]
Contestant = Callable[[], object]

PARSED, READ, METER = "open, read and parse", "open and read", "Meter.read()"


def main() -> None:
    arguments = parser(__doc__, rounds=15)
    arguments.add_argument("--groups", type=int, default=1000)
    options = arguments.parse_args()
    report = Report("stats")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name = f"nsbox-{os.getpid()}-benchmark"
    with Cgroup.create(name, subsystems={"cpu", "memory", "pids"}) as lab:
        groups = [lab.child(f"g{number}") for number in range(options.groups)]
        with busy(groups[: len(groups) // 10]):
            for parts in (reading.PARTS, ("memory",), ("pids",)):
                measure_all(report, groups, parts, options.rounds)
    report.finish(options.json)


class busy:  # noqa: N801 - reads as what it does
    """Have a task in each of some groups, so that not all figures are 0."""

    def __init__(self, groups: Sequence[Cgroup]) -> None:
        self.groups = groups
        self.tasks: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> None:
        for group in self.groups:
            self.tasks.append(subprocess.Popen(["sleep", "3600"]))
            group.attach(self.tasks[-1].pid)

    def __exit__(self, *_: object) -> None:
        for task in self.tasks:
            task.kill()
            task.wait()


def measure_all(report: Report, groups: list[Cgroup], parts: Sequence[str], rounds: int) -> None:
    paths = [files_of(group, parts) for group in groups]
    with Meter(groups, parts) as meter:
        contestants: dict[str, Contestant] = {
            PARSED: lambda: [parse_anew(one) for one in paths],
            READ: lambda: [read_anew(one) for one in paths],
            METER: meter.read,
            "Meter.read(), all looked at": lambda: [look(stats) for stats in meter.read()],
        }
        if parts == reading.PARTS:
            contestants["Cgroup.stats()"] = lambda: [group.stats() for group in groups]
        for contestant in contestants.values():
            contestant()
        told = ", ".join(part for part in parts if part in meter.read()[0].parts)
        turns = {name: timed(contestant) for name, contestant in contestants.items()}
        title = f"{len(groups)} groups, {len(paths[0])} files each: {told}"
        tell(report, title, interleaved(turns, rounds))


def tell(report: Report, title: str, times: Times) -> None:
    bases = (PARSED, READ)
    rows = [
        (name, statistics.median(own), *(ratio(own, times[base]) for base in bases))
        for name, own in times.items()
    ]
    report.table(title, ("ms", *(f"x {base}" for base in bases)), rows)
    report.samples(title, times)
    if METER in times:
        report.goal(f"{METER} of {title} against {READ}", ratio(times[METER], times[READ]), 0.15)


def look(stats: Stats) -> Stats:
    """Decode all of it: to go through the parts looks at each."""
    assert len(stats.parts) > 0
    return stats


def files_of(group: Cgroup, parts: Sequence[str]) -> list[str]:
    """List what the figures of a group are read from here, as far as it is there."""
    folders = reading.Folders.of(group.folders, group.subsystems)
    paths = reading.paths(folders, reading.counted(folders, tuple(parts)))
    return [path for path in paths if os.path.exists(path)]


def read_anew(paths: list[str]) -> list[str]:
    found = []
    for path in paths:
        with open(path) as file:
            found.append(file.read())
    return found


def parse_anew(paths: list[str]) -> Figures:
    """Do what is nearest at hand in Python."""
    return {path: parse(text) for path, text in zip(paths, read_anew(paths), strict=True)}


def parse(text: str) -> int | dict[str, int | float]:
    lines = text.splitlines()
    if len(lines) == 1 and " " not in lines[0]:
        return int(lines[0])
    found: dict[str, int | float] = {}
    for line in lines:
        key, *values = line.split()
        if len(values) == 1:
            found[key] = int(values[0])
            continue
        for value in values:  # some avg10=0.00 ...
            name, _, amount = value.partition("=")
            found[f"{key} {name}"] = float(amount) if "." in amount else int(amount)
    return found


if __name__ == "__main__":
    main()
