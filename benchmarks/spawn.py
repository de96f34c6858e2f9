"""What it costs to start `true`, from the call to its end: in a box, plainly, and by others.

All contestants take turns in one run, so that what the machine does meanwhile meets all alike; then
again with a pause before each start, because a quiet machine shows costs that a tight loop hides.
Each is started by a process that waits for its turn (caller.py, floor.c) and tells the time itself.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import peers
from caller import AHEAD, SPECS, Caller
from floor import HERE, Floor, compile_floor
from heavy import measure_callers


class Contestant(NamedTuple):
    """How one start is timed, in milliseconds, and which floor it is held against."""

    start: Callable[[], float]
    floor: str


Contestants = dict[str, Contestant]


def contestants(folder: Path, true: list[str], stack: contextlib.ExitStack) -> Contestants:
    """Return all that the caller's own rights allow."""
    found = {}
    for box in SPECS:
        program = compile_floor(folder, box)
        floor = stack.enter_context(closing(Floor(program, "box", true)))
        found[_floor_of(box)] = Contestant(floor.start, _floor_of(box))
    program = compile_floor(folder, "nsbox.run", guarded=False)
    unguarded = stack.enter_context(closing(Floor(program, "box", true)))
    found["C floor, paths unguarded"] = Contestant(unguarded.start, "C floor")
    plain = stack.enter_context(closing(Floor(program, "plain", true)))
    found["C vfork+exec, no isolation"] = Contestant(plain.start, "C floor")
    root = os.geteuid() == 0
    caller = stack.enter_context(closing(Caller(true)))
    found |= _ways(caller, ["subprocess.run", *SPECS])
    ahead = stack.enter_context(closing(Caller(true)))
    found |= _ways(ahead, [*AHEAD])
    # What runc mounts for a moment would be seen by all others.
    commands = peers.privileged(folder, true) if root else peers.unprivileged(true)
    apart = ["unshare", "--mount", "--propagation", "private"] if root else []
    caller = stack.enter_context(closing(Caller(true, commands, within=apart)))
    found |= _ways(caller, [*commands])
    if root:
        commands = peers.on_cgroup2(folder, true)
        view = peers.cgroup2_view()
        caller = stack.enter_context(closing(Caller(true, commands, within=view)))
        found |= _ways(caller, [*commands])
    return found


def as_ordinary_user(
    folder: Path, true: list[str], user: str, python: str, stack: contextlib.ExitStack
) -> Contestants:
    """Return what an ordinary user's own process starts, with floors that this user starts."""
    folder.chmod(0o755)
    copy = shutil.copytree(HERE, folder / "benchmarks")  # where they can read it
    found = {}
    boxes = [box for box in SPECS if "user namespace" not in box]  # for they have one anyway
    for box in boxes:
        program = compile_floor(folder, box, (python, copy), user)
        floor = stack.enter_context(closing(Floor(program, "box", true, user)))
        found[_floor_of(box)] = Contestant(floor.start, _floor_of(box))
    commands = peers.unprivileged(true)
    interpreter = (python, str(copy / "caller.py"))
    caller = Caller(true, commands, interpreter=interpreter, user=user)
    stack.enter_context(closing(caller))
    found |= _ways(caller, ["subprocess.run", *boxes, *commands])
    ahead = Caller(true, interpreter=interpreter, user=user)
    stack.enter_context(closing(ahead))
    found |= _ways(ahead, [*AHEAD])
    return {
        f"user: {name}": Contestant(one.start, f"user: {one.floor}") for name, one in found.items()
    }


def _ways(caller: Caller, ways: list[str]) -> Contestants:
    return {way: Contestant(partial(caller.start, way), _floor_of(way)) for way in ways}


def _floor_of(way: str) -> str:
    return way.replace("nsbox.run", "C floor") if way in SPECS else "C floor"


def able(found: Contestants) -> Contestants:
    """Try each once, and leave out, with a word, what cannot run here."""
    kept = {}
    for name, contestant in found.items():
        try:
            contestant.start()
            kept[name] = contestant
        except (ValueError, RuntimeError) as error:
            print(f"left out: {name}: {error}")
    return kept


def interleaved(found: Contestants, rounds: int, pause: float) -> dict[str, list[float]]:
    """Let all take turns, in another order each round."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name in random.sample(list(found), len(found)):
            time.sleep(pause)
            times[name].append(found[name].start())
    return times


def table(title: str, found: Contestants, times: dict[str, list[float]]) -> None:
    """Print medians, ratios and the spread.

    A ratio is the median of the rounds' own ratios: what slows a round down slows both its sides.
    """
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{title}\n{'':30}{'ms':>8}{'x subprocess':>14}{'x its floor':>13}   p10..p90")
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        spread = statistics.quantiles(times[name], n=10)
        plain, floor = (
            _ratio(times[name], times[o]) for o in ("subprocess.run", found[name].floor)
        )
        print(
            f"{name:30}{median:8.2f}{plain:14.2f}{floor:13.2f}   {spread[0]:.2f}..{spread[-1]:.2f}"
        )


def _ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(values, others, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pause", type=float, default=20, help="milliseconds")
    parser.add_argument("--heavy", action="store_true", help="callers of 4 GiB, with busy threads")
    parser.add_argument("--user", metavar="NAME", help="an ordinary user who takes part (as root)")
    parser.add_argument("--user-python", metavar="PATH", help="their interpreter, which has nsbox")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if bool(options.user) != bool(options.user_python):
        parser.error("--user and --user-python go together")
    busybox = shutil.which("busybox") or sys.exit("needs busybox (Debian: busybox-static)")
    true = [busybox, "true"]
    results = {}
    with (
        tempfile.TemporaryDirectory(prefix="nsbox-bench-") as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        found = contestants(folder, true, stack)
        if options.user:
            found |= as_ordinary_user(folder, true, options.user, options.user_python, stack)
        found = able(found)
        for title, pause in (("back to back", 0), (f"{options.pause:g} ms apart", options.pause)):
            results[title] = interleaved(found, options.rounds, pause / 1000)
            table(f"start to end of `true`, {title}", found, results[title])
    if options.heavy:
        measure_callers(options.rounds, true)
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
