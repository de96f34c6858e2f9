"""``python -m nsbox``: what this host can do, then a first box."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import nsbox
from nsbox import BoxSpec, probe, run

QUESTIONS = {
    "host name": "hostname 2>/dev/null || cat /proc/sys/kernel/hostname",
    "user id": "id -u",
    "processes": "ls /proc | grep -c '^[0-9]'",
    "network links": "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | tr '\\n' ' '",
    "may write to /usr": "test -w /usr && echo yes || echo no",
    "sees /etc/shadow": "test -e /etc/shadow && echo yes || echo no",
    "environment variables": "env | grep -c .",
}
WIDEST = 36
ROUNDS = 15


def main() -> int:
    """Print both; the exit status is 0 if the box ran."""
    print(f"What this host can do for user {os.geteuid()}\n")
    print(_fitted(str(probe()), shutil.get_terminal_size().columns))
    spec = BoxSpec(hostname="first-box")
    print("\nA first box: the same questions, asked outside and inside\n")
    outside = _answers(
        lambda command: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    try:
        inside = _answers(lambda command: run(command, spec, capture_output=True, text=True))
    except (nsbox.NsboxError, OSError) as error:
        print(f"no box could be started here:\n{error}", file=sys.stderr)
        return 1
    first = max(map(len, QUESTIONS)) + 2
    second = max(map(len, [*outside.values(), "outside"])) + 2
    print(f"{'':{first}}{'outside':{second}}inside")
    for question, answer in outside.items():
        print(f"{question:{first}}{answer:{second}}{inside[question]}")
    _compare_times(spec)
    return 0


def _fitted(text: str, width: int) -> str:
    """Break the lines that are too wide for a terminal, and go on below where their text began."""
    lines = []
    for line in text.splitlines():
        start = re.match(r"(yes|no) +\S.*?  +| +\w+: ", line)
        indent = " " * (start.end() if start else 0)
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _answers(ask: Callable[[list[str]], "subprocess.CompletedProcess[str]"]) -> dict[str, str]:
    answers = {question: ask(["sh", "-c", script]).stdout for question, script in QUESTIONS.items()}
    return {
        question: textwrap.shorten(answer, WIDEST, placeholder=" ...")
        for question, answer in answers.items()
    }


def _compare_times(spec: BoxSpec) -> None:
    """Time a box beside a plain subprocess, in turn."""
    plain, boxed = [], []
    for _ in range(ROUNDS):
        plain.append(_milliseconds(lambda: subprocess.run(["true"], check=True)))
        boxed.append(_milliseconds(lambda: run(["true"], spec, check=True)))
    print(
        f"\nTo run `true` took {statistics.median(boxed):.1f} ms in a box, "
        f"{statistics.median(plain):.1f} ms as a plain subprocess (medians of {ROUNDS})"
    )


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
