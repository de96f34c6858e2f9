"""What it costs to start `true`, from the call to its end: in a box, plainly, and by others.

All contestants take turns in one run, so that what the machine does meanwhile meets all alike; then
again with a pause before each start, because a quiet machine shows costs that a tight loop hides.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from callers import measure_callers
from floor import Floor
from peers import peers

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType

Contestants = dict[str, Callable[[], float]]


def timed(start: Callable[[], object]) -> Callable[[], float]:
    """Return a function that starts once and tells the milliseconds."""

    def once() -> float:
        began = time.perf_counter()
        start()
        return (time.perf_counter() - began) * 1000

    return once


def contestants(folder: Path, busybox: str, floors: list[Floor]) -> Contestants:
    """Return all that can run here, each tried once; say which are missing."""
    true = [busybox, "true"]
    box, bare = BoxSpec(), BoxSpec(init=False)
    user = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW})
    floors += [
        Floor(folder, "floor", box, "box", *true),
        Floor(folder, "floor-no-init", bare, "box", *true),
        Floor(folder, "floor-user", user, "box", *true),
        Floor(folder, "plain", box, "plain", *true),
    ]
    found: Contestants = {
        "subprocess.run": timed(lambda: subprocess.run(true, check=True)),
        "nsbox.run": timed(lambda: nsbox.run(true, box, check=True)),
        "nsbox.run, init=False": timed(lambda: nsbox.run(true, bare, check=True)),
        "nsbox.run, user namespace": timed(lambda: nsbox.run(true, user, check=True)),
        "C floor": floors[0].start,
        "C floor, init=False": floors[1].start,
        "C floor, user namespace": floors[2].start,
        "C vfork+exec, no isolation": floors[3].start,
    }
    for name, start in peers(folder, busybox).items():
        if start is None:
            print(f"missing: {name}")
        else:
            found[name] = timed(start)
    for name, once in list(found.items()):
        try:
            once()
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"left out: {name}: {error}")
            del found[name]
    return found


def interleaved(found: Contestants, rounds: int, pause: float) -> dict[str, list[float]]:
    """Let all take turns, in another order each round."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name in random.sample(list(found), len(found)):
            time.sleep(pause)
            times[name].append(found[name]())
    return times


def table(title: str, times: dict[str, list[float]]) -> None:
    """Print medians, ratios and the spread."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{title}\n{'':28}{'ms':>8}{'x subprocess':>14}{'x C floor':>11}   p10..p90")
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        spread = statistics.quantiles(times[name], n=10)
        print(
            f"{name:28}{median:8.2f}{median / medians['subprocess.run']:14.2f}"
            f"{median / medians['C floor']:11.2f}   {spread[0]:.2f}..{spread[-1]:.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pause", type=float, default=20, help="milliseconds")
    parser.add_argument("--heavy", action="store_true", help="callers of 4 GiB, with busy threads")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    busybox = shutil.which("busybox") or sys.exit("needs busybox (Debian: busybox-static)")
    floors: list[Floor] = []
    results = {}
    with tempfile.TemporaryDirectory(prefix="nsbox-bench-") as folder:
        try:
            found = contestants(Path(folder), busybox, floors)
            for title, pause in (
                ("back to back", 0),
                (f"{options.pause:g} ms apart", options.pause),
            ):
                results[title] = interleaved(found, options.rounds, pause / 1000)
                table(f"start to end of `true`, {title}", results[title])
        finally:
            for floor in floors:
                floor.close()
    if options.heavy:
        measure_callers(options.rounds, busybox)
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
