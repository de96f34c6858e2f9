"""What `import nsbox` costs over a bare interpreter, and its plugin a run of pytest's without it.

    python benchmarks/imports.py [--rounds N] [--json FILE]

All take turns, each in a process of its own. What is told is CPU time, user and system, which a
busy machine changes less than the clock; ratio and difference are the medians of the rounds' own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from report import Report, interleaved, parser, ratio

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


def compare(
    report: Report, lines: dict[str, list[str]], rounds: int, environment: dict[str, str]
) -> None:
    """Tell each line against the first."""
    turns = {name: partial(milliseconds, environment, *line) for name, line in lines.items()}
    interleaved(turns, 1)  # fills caches
    times = interleaved(turns, rounds)
    title, base = next(iter(times.items()))
    rows = [
        (
            name,
            statistics.median(own),
            ratio(own, base),
            statistics.median(one - other for one, other in zip(own, base, strict=True)),
        )
        for name, own in times.items()
    ]
    report.table(f"against {title}", ("CPU ms", "ratio", "CPU ms more"), rows)
    report.samples(title, times)


def main() -> None:
    options = parser(__doc__, rounds=30).parse_args()
    report = Report("imports")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        lines = {name: ["-c", script] for name, script in IMPORTS.items()}
        compare(report, lines, options.rounds, environment)
        file = Path(folder, "test_nothing.py")
        file.write_text("def test_nothing():\n    pass\n")
        run = [*PYTEST, "--rootdir", folder, str(file)]
        without = [*run, "-p", "no:nsbox.pytest_plugin"]
        lines = {"pytest without the plugin": without, "pytest with it": run}
        compare(report, lines, options.rounds, environment)
    report.finish(options.json)


if __name__ == "__main__":
    main()
