"""All benchmarks, one after the other: `python benchmarks`.

    python benchmarks [--quick] [--only NAME ...] [--user NAME --user-python PATH]
                      [--json FILE] [--svg FILE]

Each is a program of its own, whose tables are printed as they come; in the end stand all goals.
`--quick` is for a look whether everything runs: its figures mean little.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from picture import picture
from report import print_goals

HERE = Path(__file__).parent
FULL: dict[str, list[str]] = {
    "spawn": ["--heavy"],
    "runtime": [],
    "instructions": [],
    "scale": [],
    "stats": [],
    "executor": [],
    "images": [],
    "imports": [],
}
QUICK: dict[str, list[str]] = {
    "spawn": ["--rounds", "3", "--pause", "2"],
    "runtime": ["--rounds", "3"],
    "instructions": ["--rounds", "1", "--ways", "subprocess.run", "nsbox.run"],
    "scale": ["--counts", "1,20", "--rounds", "1", "--no-guest"],
    "stats": ["--groups", "20", "--rounds", "1"],
    "executor": ["--rounds", "3", "--calls", "3"],
    "images": ["--rounds", "1", "--boxes", "10"],
    "imports": ["--rounds", "3"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=FULL, default=list(FULL), metavar="NAME")
    parser.add_argument("--user", metavar="NAME", help="an ordinary user takes part (as root)")
    parser.add_argument("--user-python", metavar="PATH", help="their interpreter, with nsbox")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a picture of the starts")
    options = parser.parse_args()
    if options.svg and "spawn" not in options.only:
        parser.error("--svg is drawn from spawn")
    if bool(options.user) != bool(options.user_python):
        parser.error("--user and --user-python go together")
    settings = QUICK if options.quick else FULL
    reports: dict[str, dict[str, Any]] = {}
    failed = []
    for name in options.only:
        own = list(settings[name])
        if name == "spawn" and options.user:
            own += ["--user", options.user, "--user-python", options.user_python]
        report = run(name, own)
        if report is None:
            failed.append(name)
        else:
            reports[name] = report
    print("\n# All goals")
    print_goals([goal for report in reports.values() for goal in report["goals"]])
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1) + "\n")
    if options.svg and "spawn" in reports:
        options.svg.write_text(picture(reports["spawn"]))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(name: str, arguments: list[str]) -> dict[str, Any] | None:
    """Run one and return its report; None where it failed, and has said why."""
    print(f"\n# {name}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="nsbox-benchmarks-") as folder:
        file = Path(folder, "report.json")
        command = [sys.executable, str(HERE / f"{name}.py"), *arguments, "--json", str(file)]
        # What is mounted for a benchmark is out of everybody else's sight.
        apart = ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else []
        if subprocess.run([*apart, *command], check=False).returncode:
            return None
        report: dict[str, Any] = json.loads(file.read_text())
        return report


if __name__ == "__main__":
    main()
