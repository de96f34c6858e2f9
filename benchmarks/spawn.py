"""What it costs to start `true`, from the call to its end: in a box, plainly, and by others.

All contestants take turns in one run, so that what the machine does meanwhile meets all alike; then
again with a pause before each start, because a quiet machine shows costs that a tight loop hides.
Each is started by a process that waits for its turn (caller.py, floor.c) and tells the time itself.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import peers
from caller import AHEAD, SPECS, Caller
from floor import HERE, Floor, compile_floor
from heavy import measure_callers
from report import Report, Times, interleaved, parser, ratio, spread


class Contestant(NamedTuple):
    """How one start is timed, in milliseconds, and which floor it is held against."""

    start: Callable[[], float]
    floor: str


Contestants = dict[str, Contestant]

GOALS = (
    ("nsbox.run", "C floor", 1.10),
    ("nsbox.run, limits", "C floor, limits", 1.10),
    ("nsbox.Pool.run, limits", "subprocess.run", 1.0),
    ("nsbox.run, limits", "bwrap", 0.5),
    ("nsbox.run, limits", "crun", 0.17),
    ("nsbox.run, limits", "runc", 0.10),
    ("nsbox.Box.run", "crun", 0.17),
    ("nsbox.Box.run", "runc", 0.05),
)
"""How much of another's time each may take at most, with pauses."""


def contestants(
    folder: Path, true: list[str], stack: contextlib.ExitStack, report: Report
) -> Contestants:
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
    caller = stack.enter_context(closing(Caller(true)))
    found |= _ways(caller, ["subprocess.run", *SPECS])
    ahead = stack.enter_context(closing(Caller(true)))
    found |= _ways(ahead, [*AHEAD])
    for within, commands in others(folder, true, stack, report):
        kept = {}
        for name, command in commands.items():
            if reason := peers.why_not(command[0]):
                report.left_out(name, reason)
            else:
                kept[name] = command
        caller = stack.enter_context(closing(Caller(true, kept, within=within)))
        found |= _ways(caller, [*kept])
    return found


def others(
    folder: Path, true: list[str], stack: contextlib.ExitStack, report: Report
) -> Iterator[tuple[list[str], dict[str, list[str]]]]:
    """Tell the other programs that start a command, and within what their caller is to run."""
    if os.geteuid() != 0:
        yield [], peers.unprivileged(true)
        return
    stack.enter_context(peers.tidied())
    # What runc mounts for a moment would be seen by all others.
    yield ["unshare", "--mount", "--propagation", "private"], peers.privileged(folder, true)
    view = peers.cgroup2_view()
    yield view, peers.on_cgroup2(folder, true)
    yield [*view, *peers.PIDS_APART], peers.podman(folder, true)
    try:
        yield [], {"docker": stack.enter_context(peers.docker(folder, true))}
    except FileNotFoundError:
        report.left_out("docker", "not installed")
    except subprocess.CalledProcessError:
        report.left_out("docker", "its daemon does not run")


def as_ordinary_user(
    folder: Path, true: list[str], user: str, python: str, stack: contextlib.ExitStack
) -> Contestants:
    """Return what an ordinary user's own process starts, with floors that this user starts."""
    folder.chmod(0o755)
    copy = shutil.copytree(HERE, folder / "benchmarks")  # where they can read it
    found = {}
    apart = (
        "nsbox.run, user namespace",
        "nsbox.run, limits",
    )  # they have one; no groups are theirs
    boxes = [box for box in SPECS if box not in apart]
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
    found |= _ways(ahead, [way for way in AHEAD if "limits" not in way])
    return {
        f"user: {name}": Contestant(one.start, f"user: {one.floor}") for name, one in found.items()
    }


def _ways(caller: Caller, ways: list[str]) -> Contestants:
    return {way: Contestant(partial(caller.start, way), _floor_of(way)) for way in ways}


def _floor_of(way: str) -> str:
    if "limits" in way:
        return "C floor, limits"
    return way.replace("nsbox.run", "C floor") if way in SPECS else "C floor"


def able(found: Contestants, report: Report) -> Contestants:
    """Try each once, and leave out, with a word, what cannot run here."""
    kept = {}
    for name, contestant in found.items():
        try:
            contestant.start()
            kept[name] = contestant
        except (ValueError, RuntimeError) as error:
            report.left_out(name, error)
    return kept


def tell(report: Report, title: str, found: Contestants, times: Times) -> None:
    """Print medians, ratios and the spread of the times."""
    rows = []
    for name, own in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        plain, floor = (ratio(own, times[o]) for o in ("subprocess.run", found[name].floor))
        rows.append((name, statistics.median(own), plain, floor, spread(own)))
    columns = ("ms", "x subprocess", "x its floor", "10 to 90 %, ms")
    report.table(f"start to end of `true`, {title}", columns, rows)
    report.samples(title, times)


def goals(report: Report, times: Times) -> None:
    """Hold what was measured with pauses against what is wanted; whoever is absent is left out."""
    for way, other, most in GOALS:
        if way in times and other in times:
            report.goal(f"{way} against {other}", ratio(times[way], times[other]), most)


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, rounds=60)
    arguments.add_argument("--pause", type=float, default=20, help="milliseconds")
    arguments.add_argument("--heavy", action="store_true", help="callers that have much (heavy.py)")
    arguments.add_argument("--user", metavar="NAME", help="an ordinary user takes part (as root)")
    arguments.add_argument("--user-python", metavar="PATH", help="their interpreter, with nsbox")
    options = arguments.parse_args()
    if bool(options.user) != bool(options.user_python):
        arguments.error("--user and --user-python go together")
    busybox = shutil.which("busybox") or sys.exit("needs busybox (Debian: busybox-static)")
    true = [busybox, "true"]
    report = Report("spawn")
    times: Times = {}
    with (
        tempfile.TemporaryDirectory(prefix="nsbox-bench-") as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        found = contestants(folder, true, stack, report)
        if options.user:
            found |= as_ordinary_user(folder, true, options.user, options.user_python, stack)
        found = able(found, report)
        turns = {name: one.start for name, one in found.items()}
        for title, pause in (("back to back", 0), (f"{options.pause:g} ms apart", options.pause)):
            times = interleaved(turns, options.rounds, pause / 1000)
            tell(report, title, found, times)
    goals(report, times)
    if options.heavy:
        measure_callers(report, options.rounds, true)
    report.finish(options.json)


if __name__ == "__main__":
    main()
