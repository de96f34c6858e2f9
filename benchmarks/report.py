"""What the benchmarks share: turns, ratios, tables that are printed, and the same as JSON."""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Times = dict[str, list[float]]
Cell = float | str | None


def parser(document: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks take."""
    made = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the tables there as well")
    return made


def interleaved(
    contestants: Mapping[str, Callable[[], float]], rounds: int, pause: float = 0
) -> Times:
    """Let all take turns, in another order each round, each after a pause in seconds."""
    times: Times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in random.sample(list(contestants), len(contestants)):
            time.sleep(pause)
            times[name].append(contestants[name]())
    return times


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Return a contestant that tells how many milliseconds the call took."""

    def turn() -> float:
        began = time.perf_counter()
        kept = call()
        took = (time.perf_counter() - began) * 1000
        del kept  # whose end is nobody's turn
        return took

    return turn


def by_round(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return each round's own ratio: what slows a round down slows both its sides."""
    return [one / other for one, other in zip(values, others, strict=True)]


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(by_round(values, others))


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Return between which 80 % of the values are, from the 10th to the 90th of a hundred."""
    if len(values) < 2:
        return values[0], values[0]
    tenths = statistics.quantiles(values, n=10)
    return max(tenths[0], min(values)), min(tenths[-1], max(values))  # of few it guesses beyond


def spread(values: Sequence[float]) -> str:
    low, high = ends(values)
    return f"{low:.2f}..{high:.2f}"


def figure(value: Cell) -> str:
    """Write a number with as many digits as one can rely on."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


class Report:
    """The tables of one benchmark: printed as they come, as Markdown, and kept."""

    def __init__(self, benchmark: str) -> None:
        self.kept: dict[str, Any] = {
            "benchmark": benchmark,
            "cpus": os.cpu_count(),
            "kernel": ".".join(platform.release().split(".")[:2]),
            "load": round(os.getloadavg()[0], 1),
            "tables": [],
            "goals": [],
            "left out": {},
            "samples": {},
        }
        print(f"{benchmark}: {host(self.kept)}", flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table: of each row, the first is its name."""
        kept = {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        self.kept["tables"].append(kept)
        print(f"\n{markdown(kept)}", flush=True)

    def samples(self, title: str, times: Mapping[str, Sequence[float]]) -> None:
        """Keep what the medians were made of."""
        self.kept["samples"][title] = {name: list(values) for name, values in times.items()}

    def left_out(self, name: str, reason: object) -> None:
        """Say why somebody takes no part."""
        self.kept["left out"][name] = str(reason)
        print(f"left out: {name}: {reason}", flush=True)

    def goal(self, what: str, value: float, most: float) -> None:
        """Hold a ratio against the most that it is to be."""
        self.kept["goals"].append({"what": what, "value": value, "most": most})

    def finish(self, file: Path | None) -> None:
        """Print how the goals are met, and write all of it as JSON."""
        print_goals(self.kept["goals"])
        if file is not None:
            file.write_text(json.dumps(self.kept, indent=1) + "\n")


def markdown(table: Mapping[str, Any]) -> str:
    """Write a table, its title above it."""
    columns = table["columns"]
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += (f"| {' | '.join([row[0], *map(figure, row[1:])])} |" for row in table["rows"])
    return "\n".join([f"{table['title'][:1].upper()}{table['title'][1:]}:", "", *lines])


def goals_table(goals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how ratios are beside the most that they are to be, as a table."""
    words = ("as wanted", "MISSED")
    rows = [
        [
            one["what"],
            f"{one['value']:.3g}",
            f"{one['most']:.3g}",
            words[one["value"] > one["most"]],
        ]
        for one in goals
    ]
    return {"title": "against what is wanted", "columns": ["ratio", "at most", ""], "rows": rows}


def print_goals(goals: Sequence[Mapping[str, Any]]) -> None:
    if goals:
        print(f"\n{markdown(goals_table(goals))}\n", flush=True)


def host(kept: Mapping[str, Any]) -> str:
    """Tell where a benchmark ran, and beside what."""
    return f"{kept['cpus']} CPUs, Linux {kept['kernel']}, load {kept['load']} as it began"
