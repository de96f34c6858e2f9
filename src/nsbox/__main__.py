"""``python -m nsbox``: what this host can do, then a first box."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import nsbox
from nsbox import BoxSpec, probe, run

QUESTIONS = {
    "host name": "hostname 2>/dev/null || cat /proc/sys/kernel/hostname",
    "user id": "id -u",
    "processes": "ls /proc | grep -c '^[0-9]'",
    "network links": "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | tr '\\n' ' '",
    "mounts": "grep -c . /proc/self/mounts",
    "may write to /usr": "test -w /usr && echo yes || echo no",
    "environment": "env | grep -c .",
}
ROUNDS = 15


def main() -> int:
    """Print both; the exit status is 0 if the box ran."""
    print(probe())
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
    width = max(map(len, [*outside.values(), "outside"])) + 2
    print(f"{'':20}{'outside':{width}}inside")
    for question, answer in outside.items():
        print(f"{question:20}{answer:{width}}{inside[question]}")
    _compare_times(spec)
    return 0


def _answers(ask: Callable[[list[str]], "subprocess.CompletedProcess[str]"]) -> dict[str, str]:
    return {
        question: ask(["sh", "-c", script]).stdout.strip() for question, script in QUESTIONS.items()
    }


def _compare_times(spec: BoxSpec) -> None:
    """Time a box beside a plain subprocess, in turn."""
    plain, boxed = [], []
    for _ in range(ROUNDS):
        plain.append(_milliseconds(lambda: subprocess.run(["true"], check=True)))
        boxed.append(_milliseconds(lambda: run(["true"], spec, check=True)))
    print(
        f"\n`true` took {statistics.median(plain):.1f} ms as a plain subprocess and "
        f"{statistics.median(boxed):.1f} ms in a box (medians of {ROUNDS})"
    )


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
