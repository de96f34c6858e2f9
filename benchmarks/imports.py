"""What `import nsbox` costs over a bare interpreter, and its plugin a run of pytest's without it.

    python benchmarks/imports.py [--rounds N]

All take turns, each in a process of its own. What is told is CPU time, user and system, which a
busy machine changes less than the clock; ratio and difference are the medians of the rounds' own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = {
    "a bare interpreter": "pass",
    "import nsbox": "import nsbox",
    "from nsbox import BoxSpec, run": "from nsbox import BoxSpec, run",
    "import attrs, subprocess": "import attrs, subprocess",
}
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-p", "no:asyncio"]


def milliseconds(environment: dict[str, str], *arguments: str) -> float:
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} returned {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def compare(lines: dict[str, list[str]], rounds: int, environment: dict[str, str]) -> None:
    """Print each line against the first."""
    times: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(rounds + 1):
        for name, arguments in lines.items():
            taken = milliseconds(environment, *arguments)
            if number > 0:  # the first fills caches
                times[name].append(taken)
    base = next(iter(times.values()))
    print(f"| {rounds} rounds | CPU ms | ratio | CPU ms more |\n| --- | ---: | ---: | ---: |")
    for name, taken in times.items():
        pairs = list(zip(taken, base, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        more = statistics.median(one - other for one, other in pairs)
        print(f"| {name} | {statistics.median(taken):.1f} | {ratio:.2f} | {more:.1f} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        compare({name: ["-c", script] for name, script in IMPORTS.items()}, rounds, environment)
        file = Path(folder, "test_nothing.py")
        file.write_text("def test_nothing():\n    pass\n")
        run = [*PYTEST, "--rootdir", folder, str(file)]
        without = [*run, "-p", "no:nsbox.pytest_plugin"]
        lines = {"pytest without the plugin": without, "pytest with it": run}
        compare(lines, rounds, environment)


if __name__ == "__main__":
    main()
