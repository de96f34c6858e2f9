"""What a Python call in a box costs, by each isolation of `BoxExecutor`, and by others.

    python benchmarks/executor.py [--rounds N] [--calls N]

Contestants take turns, in another order each round, each with some calls one after the other: so
what is cleaned up after a call is in what the next one takes. The ratio is taken round by round.
"""

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=5, help="calls in a row, in each turn")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        found = contestants(stack)
        for call in found.values():
            call()  # workers start with their first
        times = measure(found, options.rounds, options.calls)
    table(times)
    verdict(times)


def contestants(stack: contextlib.ExitStack) -> dict[str, Call]:
    """Return all that take part; workers live on the stack."""
    one = partial(BoxExecutor, SPEC, max_workers=1)
    pool = concurrent.futures.ProcessPoolExecutor
    fresh = {"mp_context": multiprocessing.get_context("spawn"), "max_tasks_per_child": 1}
    executors = {
        ZYGOTE: one(),
        f"zygote, {len(PRELOADED)} modules preloaded": one(preload=PRELOADED),
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


def measure(found: dict[str, Call], rounds: int, calls: int) -> dict[str, list[float]]:
    """Return the milliseconds that a call took, of each round."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name in random.sample(list(found), len(found)):
            call = found[name]
            call()  # a pause has made it cold, and whoever was before may still be at work
            began = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - began) / calls * 1000)
    return times


def table(times: dict[str, list[float]]) -> None:
    print(f"| | ms | x {BARE} | x {INTERPRETER} | p10..p90 |\n| --- | ---: | ---: | ---: | ---: |")
    for name, own in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        bare, interpreter = (ratio(own, times[other]) for other in (BARE, INTERPRETER))
        spread = statistics.quantiles(own, n=10)
        print(
            f"| {name} | {statistics.median(own):.2f} | {bare:.2f} | {interpreter:.2f} "
            f"| {spread[0]:.2f}..{spread[-1]:.2f} |"
        )


def verdict(times: dict[str, list[float]]) -> None:
    print()
    for other, most in GOALS.items():
        found = ratio(times[ZYGOTE], times[other])
        word = "as wanted" if found < most else "MISSED"
        print(f"a call by the zygote: {found:.2f} of {other}, at most {most:.2f} wanted: {word}")


def ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(values, others, strict=True))


if __name__ == "__main__":
    main()
