"""The same start from callers that have much: memory, open files, threads that compute."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

import nsbox

CALLERS = {
    "small": {},
    "4 GiB resident": {"gib": 4},
    "15,000 open files": {"files": 15_000},
    "1 busy thread": {"threads": 1},
    "4 busy threads": {"threads": 4},
}


_computing = threading.Event()
_computing.set()


def measure_callers(rounds: int, busybox: str) -> None:
    """Print what a start costs each caller, by turns, each in a process of its own."""
    workers = {
        name: subprocess.Popen(
            [sys.executable, __file__, busybox, *(f"{k}={v}" for k, v in having.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, having in CALLERS.items()
    }
    ways = ("nsbox", "subprocess", "fork")
    times: dict[tuple[str, str], list[float]] = {(n, w): [] for n in workers for w in ways}
    for worker in workers.values():
        _pipe(worker.stdout).readline()
    for _ in range(rounds):
        for (name, way), values in times.items():
            if way == "fork" and len(values) >= 10:
                continue  # slow, and soon known
            worker = workers[name]
            _pipe(worker.stdin).write(f"{way}\n")
            _pipe(worker.stdin).flush()
            values.append(float(_pipe(worker.stdout).readline()))
    for worker in workers.values():
        worker.communicate()
    _print(times, ways)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _print(times: dict[tuple[str, str], list[float]], ways: tuple[str, ...]) -> None:
    print(f"\nby caller, ms (x small){'':5}" + "".join(f"{way:>20}" for way in ways))
    for name in CALLERS:
        row = f"{name:28}"
        for way in ways:
            median = statistics.median(times[name, way])
            row += f"{median:12.2f} ({median / statistics.median(times['small', way]):.2f})"
        print(row)


def _work(busybox: str, having: dict[str, int]) -> None:
    """Be a caller: start once for each line that comes in."""
    ballast = bytearray(having.get("gib", 0) << 30)
    ballast[::4096] = b"x" * len(ballast[::4096])
    files = [os.dup(2) for _ in range(having.get("files", 0))]
    for _ in range(having.get("threads", 0)):
        threading.Thread(target=_compute, daemon=True).start()
    true = [busybox, "true"]
    ways: dict[str, Callable[[], object]] = {
        "nsbox": lambda: nsbox.run(true, check=True),
        "subprocess": lambda: subprocess.run(true, check=True),
        "fork": lambda: _fork(true),
    }
    for start in ways.values():
        start()
    print("ready", flush=True)
    _computing.clear()
    for line in sys.stdin:
        _computing.set()
        time.sleep(0.002)
        began = time.perf_counter()
        ways[line.strip()]()
        took = time.perf_counter() - began
        _computing.clear()  # while others have their turn
        print(took * 1000, flush=True)
    del ballast, files


def _fork(command: list[str]) -> None:
    pid = os.fork()
    if pid == 0:
        os.execv(command[0], command)
    os.waitpid(pid, 0)


def _compute() -> None:
    while _computing.wait():
        sum(range(1000))


if __name__ == "__main__":
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _work(sys.argv[1], {k: int(v) for k, v in (item.split("=") for item in sys.argv[2:])})
