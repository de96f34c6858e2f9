"""10,000 calls in boxes, a worker killed by every hundredth: right answers, and nothing left.

python tests/soak/executor.py [--scale 0.1]
"""

import concurrent.futures
import os
import signal
import sys
from typing import Any

from remains import Growth, nothing_left, scale

import nsbox
from nsbox import BoxExecutor, BoxSpec, RootFS

CALLS = 10_000
EVERY = 100
THREADS = 4
SPEC = BoxSpec(rootfs=RootFS.system(python=True))


def main() -> None:
    calls = max(int(CALLS * scale()), EVERY)
    for isolation in ("process", "none"):
        with nothing_left(f"{calls} calls, isolation {isolation}") as growth:
            soak(calls, isolation, growth)


def soak(calls: int, isolation: Any, growth: Growth) -> None:
    """Submit from several threads at once, each a part of the numbers."""
    parts = [range(first, calls, THREADS) for first in range(THREADS)]
    tenth = calls // 10
    with (
        BoxExecutor(SPEC, max_workers=2, isolation=isolation) as executor,
        concurrent.futures.ThreadPoolExecutor(THREADS) as pool,
    ):
        wrong: list[str] = []
        for begin in range(0, calls, tenth):
            some = [[n for n in part if begin <= n < begin + tenth] for part in parts]
            for found in pool.map(lambda numbers: ask(executor, isolation, numbers), some):
                wrong += found
            growth.warm()
    if wrong:
        sys.exit(f"{len(wrong)} wrong answers: {wrong[:10]}")


def ask(executor: BoxExecutor, isolation: str, numbers: list[int]) -> list[str]:
    """Have squares made, and tell the wrong ones; some calls end the worker instead."""
    futures = {
        n: executor.submit(exec, killing(isolation))
        if n % EVERY == 0
        else executor.submit(pow, n, 2)
        for n in numbers
    }
    return [text for n, future in futures.items() if (text := wrong_answer(n, future))]


def killing(isolation: str) -> str:
    """Give the code that kills the interpreter that the calls come from, and its own."""
    whom = "os.getppid()" if isolation == "process" else "os.getpid()"
    return f"import os, time; os.kill({whom}, {int(signal.SIGKILL)}); time.sleep(60)"


def wrong_answer(number: int, future: "concurrent.futures.Future[Any]") -> str | None:
    error = future.exception(timeout=120)
    if number % EVERY == 0:
        return None if isinstance(error, nsbox.WorkerDied) else f"{number}: {error!r}, no death"
    if error is not None:
        return f"{number}: {error!r}"
    return None if future.result() == number**2 else f"{number}: {future.result()!r}"


if __name__ == "__main__":
    assert os.getpid() != 1, "orphans of others would be taken for what is left"
    main()
