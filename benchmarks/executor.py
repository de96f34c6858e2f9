"""What a Python call in a box costs, by each isolation of `BoxExecutor`, and by others.

    python benchmarks/executor.py [--rounds N] [--calls N] [--json FILE]

Contestants take turns, in another order each round, each with some calls one after the other: so
what is cleaned up after a call is in what the next one takes. The ratio is taken round by round.
"""

import concurrent.futures
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from report import Report, Times, interleaved, parser, ratio, spread, timed

import nsbox
from nsbox import BoxExecutor, BoxSpec, RootFS

Call = Callable[[], object]

SPEC = BoxSpec(rootfs=RootFS.system(python=True))
PRELOADED = ("json", "decimal", "email.message", "asyncio", "unittest")
"""What the call wants imported: the zygote has it already, a fresh interpreter imports it."""

ZYGOTE = "zygote, a fork per call"
INTERPRETER = "a fresh interpreter in a box"
BARE = 'nsbox.run(["true"])'
GOALS = {INTERPRETER: 1 / 3, BARE: 3.0}
"""How much of these the zygote's call may take at most."""


def main() -> None:
    arguments = parser(__doc__, rounds=30)
    arguments.add_argument("--calls", type=int, default=5, help="calls in a row, in each turn")
    options = arguments.parse_args()
    report = Report("executor")
    with contextlib.ExitStack() as stack:
        found = contestants(stack)
        for call in found.values():
            call()  # workers start with their first
        turns = {name: in_a_row(call, options.calls) for name, call in found.items()}
        times = interleaved(turns, options.rounds)
    tell(report, times)
    report.finish(options.json)


def contestants(stack: contextlib.ExitStack) -> dict[str, Call]:
    """Return all that take part; workers live on the stack."""
    one = partial(BoxExecutor, SPEC, max_workers=1)
    pool = concurrent.futures.ProcessPoolExecutor
    fresh = {"mp_context": multiprocessing.get_context("spawn"), "max_tasks_per_child": 1}
    executors = {
        ZYGOTE: one(),
        f"zygote, {len(PRELOADED)} modules preloaded": one(preload=PRELOADED),
        "a fork in its worker's box": one(python=sys.executable),
        "warm worker in a box": one(isolation="none"),
        "a box per call": one(isolation="box"),
        "ProcessPoolExecutor": pool(1),
        "ProcessPoolExecutor, a process per call": pool(1, **fresh),
    }
    imports = f"import {', '.join(PRELOADED)}"
    return {
        **{name: submitted(stack.enter_context(one)) for name, one in executors.items()},
        INTERPRETER: lambda: nsbox.run([sys.executable, "-c", "pow(2, 10)"], SPEC, check=True),
        f"the same, {len(PRELOADED)} modules imported": lambda: nsbox.run(
            [sys.executable, "-c", imports], SPEC, check=True
        ),
        "a fresh interpreter, no box": lambda: subprocess.run(
            [sys.executable, "-c", "pow(2, 10)"], check=True
        ),
        BARE: lambda: nsbox.run(["true"], check=True),
    }


def submitted(executor: concurrent.futures.Executor) -> Call:
    return lambda: executor.submit(pow, 2, 10).result()


def in_a_row(call: Call, calls: int) -> Callable[[], float]:
    """Return a contestant that tells the milliseconds of one among several calls."""

    def several() -> None:
        for _ in range(calls):
            call()

    timed_several = timed(several)

    def turn() -> float:
        call()  # a pause has made it cold, and whoever was before may still be at work
        return timed_several() / calls

    return turn


def tell(report: Report, times: Times) -> None:
    rows = []
    for name, own in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        bases = (ratio(own, times[other]) for other in (BARE, INTERPRETER))
        rows.append((name, statistics.median(own), *bases, spread(own)))
    columns = ("ms", f"x {BARE}", f"x {INTERPRETER}", "10 to 90 %, ms")
    report.table("a call of pow", columns, rows)
    report.samples("calls", times)
    for other, most in GOALS.items():
        report.goal(
            f"a call by the zygote against {other}", ratio(times[ZYGOTE], times[other]), most
        )


if __name__ == "__main__":
    main()
