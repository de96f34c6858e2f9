"""How many instructions a start takes, in user mode: they grow by a change, and not by a busy host.

    python benchmarks/instructions.py [--rounds N] [--ways WAY ...] [--json FILE]

A caller starts `busybox true` in each way, warm, and is traced meanwhile (instructions.c) with all
that it starts, one instruction after the other. What the kernel does for them is not counted.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from report import Report, parser

PLAIN, NSBOX = "subprocess.run", "nsbox.run"
WAYS = (PLAIN, NSBOX, "nsbox.run, limits", "nsbox.run, init=False")
WITHOUT_FIRST_PROCESS = (PLAIN, "nsbox.run, init=False")
WARM = 5
CREEP = 0.4
"""How many times the instructions of `subprocess.run` were enough, when this was written."""


def main() -> None:
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, metavar="WAY")
    options = arguments.parse_args()
    busybox = shutil.which("busybox") or sys.exit("needs busybox (Debian: busybox-static)")
    report = Report("instructions")
    rows: list[list[str | float | None]] = []
    callers: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="nsbox-instructions-") as name:
        program = Path(name, "instructions")
        source = str(Path(__file__).with_suffix(".c"))
        subprocess.run(["cc", "-O2", source, "-o", str(program)], check=True)
        for way in options.ways:
            try:
                counts = counted(program, way, options.rounds, busybox)
            except subprocess.CalledProcessError as error:
                report.left_out(way, error)
                continue
            caller, child, *rest = (
                statistics.median(column) for column in zip(*counts, strict=True)
            )
            first, command = (None, rest[0]) if way in WITHOUT_FIRST_PROCESS else rest
            rows.append([way, caller, child, first, command])
            callers[way] = caller
            report.samples(way, {str(number): one for number, one in enumerate(counts)})
    columns = ("the caller", "its child, until it executes", "the first process", "the command")
    report.table("instructions of one start of `true`", columns, rows)
    if callers.keys() >= {PLAIN, NSBOX}:
        what = f"instructions of a caller of {NSBOX} against one of {PLAIN}"
        report.goal(what, callers[NSBOX] / callers[PLAIN], CREEP)
    report.finish(options.json)


def counted(program: Path, way: str, rounds: int, busybox: str) -> list[list[float]]:
    """Return what each round took: of the caller, its child, and what was executed in turn."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [str(program), sys.executable, __file__, "--traced", way, str(rounds), busybox]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [[float(number) for number in line.split()] for line in done.stdout.splitlines()]


def traced(way: str, rounds: str, busybox: str) -> None:
    """Be the caller: what is between two signals is counted."""
    from caller import ways  # noqa: PLC0415 - it loads nsbox, for the one who is traced

    start = ways([busybox, "true"], {})[way]()
    for _ in range(WARM):
        start()
    for _ in range(int(rounds)):
        os.kill(os.getpid(), signal.SIGUSR1)
        start()
        os.kill(os.getpid(), signal.SIGUSR1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--traced"]:
        traced(*sys.argv[2:])
    else:
        main()
