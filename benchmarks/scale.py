"""Many at once: start, memory and end of 1 to 1,000 boxes, alone and on a bridge, beside peers.

    python benchmarks/scale.py [--counts 1,10,100,500,1000] [--rounds N] [--no-guest] [--no-peers]
                               [--json FILE]

Run as root. Each round starts so many that stay, all alive before the next step, and ends them all.
Memory is what the whole machine has less meanwhile (MemAvailable), so it takes a quiet one, and is
told from 100 on. What the last costs beside the first is told of boxes that are started one after
the other. One virtual machine is started to its command's first word, and looked at by its
process.
"""

import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import peers
from report import Report, parser, ratio

from nsbox import BoxSpec, Fleet
from nsbox.network import Bridge

TOLD_FROM = 100
THREADS = 2
WINDOW = 50
"""How many boxes in a row stand for the first, and for the last."""

UP = "echo up; exec sleep 1000"


class Round(NamedTuple):
    """What one round took: seconds to start and to end, bytes."""

    start: float
    end: float
    memory: int


def boxes(count: int) -> Iterator[None]:
    with Fleet.start(BoxSpec().replicate(count, hostname="node{index}"), check=True):
        yield


def on_a_bridge(count: int) -> Iterator[None]:
    with Bridge.create("10.77.0.1/20") as lan:
        specs = BoxSpec(link=lan).replicate(count, hostname="node{index}")
        with Fleet.start(specs, check=True):
            yield


def with_a_command(count: int) -> Iterator[None]:
    """A process in each, as the peers have: `sleep`."""
    with Fleet.start(BoxSpec().replicate(count, hostname="node{index}"), check=True) as fleet:
        running = [done.result() for done in fleet.each(lambda box: box.popen(["sleep", "1000"]))]
        yield
        fleet.close()
        for one in running:
            one.close()


def peer(folder: Path, name: str, busybox: str) -> Callable[[int], Iterator[None]]:
    """Return a contestant that starts another program many times, and kills all."""
    command = peers.privileged(folder, [busybox, "sh", "-c", UP])[name]
    kill = {"bwrap": "--die-with-parent", "unshare": "--kill-child"}.get(name)
    if kill is not None:
        command = [command[0], kill, *command[1:]]
    else:
        config = folder / name / "config.json"
        config.write_text(config.read_text().replace('"true"', f'"sh", "-c", "{UP}"'))

    def contest(count: int) -> Iterator[None]:
        def start(number: int) -> "subprocess.Popen[str]":
            own = command if kill else [*command[:-1], f"{command[-1]}-{number}"]
            process = subprocess.Popen(own, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n", own
            return process

        def end(process: "subprocess.Popen[str]") -> None:
            if kill is None:
                args = list(map(str, process.args))  # type: ignore[arg-type]
                delete = [*args[: args.index("run")], "delete", "--force", args[-1]]
                subprocess.run(delete, check=False)
            process.kill()
            with process:
                process.wait()

        with ThreadPoolExecutor(THREADS) as pool:
            running = list(pool.map(start, range(count)))
            yield
            list(pool.map(end, running))

    return contest


def measure(contest: Callable[[int], Iterator[None]], count: int) -> Round:
    """Start so many, look, and end them."""
    before = settled()
    running = contest(count)
    started = time.monotonic()
    next(running)
    start = time.monotonic() - started
    memory = before - settled()
    ending = time.monotonic()
    next(running, None)
    return Round(start, time.monotonic() - ending, memory)


def settled() -> int:
    """Return the memory that is available, once the kernel has cleaned up behind others."""
    last = available()
    for _ in range(20):
        time.sleep(0.1)
        now = available()
        if abs(now - last) < 1 << 20:
            break
        last = now
    return now


def available() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def one_by_one(report: Report, count: int, rounds: int) -> None:
    """Start so many boxes one after the other, and hold the last of them against the first."""
    some = max(1, min(WINDOW, count // 4))
    spec, starts = BoxSpec(), list[list[float]]()
    for _ in range(rounds):
        with ExitStack() as stack:
            starts.append([])
            for _number in range(count):
                began = time.perf_counter()
                box = spec.start()
                starts[-1].append((time.perf_counter() - began) * 1000)
                stack.enter_context(box)
    windows = {
        first: slice(first, first + some) for first in (0, (count - some) // 2, count - some)
    }
    medians = {
        first: [statistics.median(one[window]) for one in starts]
        for first, window in windows.items()
    }
    rows = [
        (f"{first + 1} to {first + some}", statistics.median(own), ratio(own, medians[0]))
        for first, own in medians.items()
    ]
    report.table("start of one more box, by how many are alive", ("ms", "x the first"), rows)
    report.samples("one by one", {str(number): one for number, one in enumerate(starts)})
    what = f"the {count}th box alive against the first"
    report.goal(what, ratio(medians[count - some], medians[0]), 1.3)


def guest(report: Report) -> None:
    """Start a virtual machine of the test lane's, to the first word of a command in it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/guest"))
    from vm import kernel  # noqa: PLC0415
    from vm.machine import ENVIRONMENT, Guest  # noqa: PLC0415
    from vm.needs import QEMU, missing  # noqa: PLC0415

    if reasons := missing():
        report.left_out("a virtual machine", "; ".join(reasons))
        return
    seen: list[tuple[float, int]] = []

    def word(_: bytes) -> None:
        if not seen:
            took = time.monotonic() - started
            seen.append((took, sum(map(_pss, _children(QEMU)))))

    machine = Guest(kernel=kernel.installed()[0], layout="v2", megabytes=512, cpus=1)
    started = time.monotonic()
    machine.run(["echo", "up"], {"stdout": word}, env=ENVIRONMENT, timeout=300)
    (took, memory), whole = seen[0], time.monotonic() - started
    row = ("qemu without KVM, 512 MiB", took * 1000, memory / 1e6, whole * 1000)
    report.table("one virtual machine", ("ms to its first word", "MB", "ms to its end"), [row])


def _children(program: str) -> Iterator[int]:
    for file in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, file.read_text().split()):
            if Path(f"/proc/{pid}/exe").readlink().name == program:
                yield pid


def _pss(pid: int) -> int:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) << 10 for row in rows if row.startswith("Pss:"))


@contextmanager
def contestants(
    busybox: str, with_peers: bool, report: Report
) -> Iterator[dict[str, Callable[[int], Iterator[None]]]]:
    found = {
        "nsbox": boxes,
        "nsbox, sleep in each": with_a_command,
        "nsbox, on a bridge": on_a_bridge,
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsbox-scale-")))
        for name in ("unshare", "bwrap", "runc") if with_peers else ():
            if shutil.which(name):
                found[f"{name}, sleep in each"] = peer(folder, name, busybox)
            else:
                report.left_out(name, "not installed")
        yield found


def many(report: Report, counts: list[int], rounds: int, busybox: str, peers_to: int) -> None:
    """Tell what each costs where so many are started at once."""
    rows: list[tuple[str | float | None, ...]] = []
    with contestants(busybox, peers_to > 0, report) as found:
        for name in found:
            measure(found[name], 1)  # what is loaded and lowered once
        for count in counts:
            taking_part = [n for n in found if n.startswith("nsbox") or count <= peers_to]
            taken: dict[str, list[Round]] = {name: [] for name in taking_part}
            for _ in range(rounds):
                for name in random.sample(taking_part, len(taking_part)):
                    taken[name].append(measure(found[name], count))
            for name, several in taken.items():
                start, end, memory = map(statistics.median, zip(*several, strict=True))
                each = [one / count * 1000 for one in (start, end)]
                rows.append((name, str(count), *each, memory / count / 1000))
                if count < TOLD_FROM:
                    rows[-1] = (*rows[-1][:-1], None)
    columns = ("at once", "start, ms each", "end, ms each", "KB each")
    report.table(f"many at once, medians of {rounds} rounds", columns, rows)


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--counts", default="1,10,100,500,1000")
    arguments.add_argument("--peers-to", type=int, default=100, help="the most that peers start")
    arguments.add_argument("--no-guest", action="store_true")
    arguments.add_argument("--no-peers", action="store_true")
    options = arguments.parse_args()
    busybox = shutil.which("busybox") or sys.exit("needs busybox (Debian: busybox-static)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = list(map(int, options.counts.split(",")))
    report = Report("scale")
    many(report, counts, options.rounds, busybox, 0 if options.no_peers else options.peers_to)
    one_by_one(report, max(counts), options.rounds)
    if not options.no_guest:
        guest(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
