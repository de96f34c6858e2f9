"""What a program loses in a box at run time: the same static program works outside and in boxes.

    python benchmarks/runtime.py [--rounds N] [--json FILE]

All take turns with each kind of work, in another order each round. The file that is opened and read
is the same one, by the same path: outside, by a bind of its folder, and below an overlay on it.
"outside again" is a second process that no box has anything to do with: what it differs by is what
this machine cannot tell apart.
"""

import contextlib
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from report import Report, Times, by_round, interleaved, parser, ratio, spread

import nsbox
from nsbox import BoxSpec, Mount, Resources, RootFS, Security

WORKS = {
    "compute": "arithmetic, ns",
    "copy": "copy of 16 MiB, µs",
    "call": "system call (getppid), ns",
    "fault": "page fault, ns",
    "fork": "fork, exit and wait, µs",
    "open": "open and close a file, ns",
    "read": "read 4 KiB of a file, ns",
    "whole": "read a file of 64 KiB whole, µs",
    "round-trip": "TCP round trip, loopback, µs",
    "send": "TCP, 16 MiB, loopback, µs",
}
NETWORK = ("round-trip", "send")
FILES = ("open", "read", "whole")
OUTSIDE, AGAIN, BOX, LIMITS = "outside", "outside again", "a box", "with limits"
UNFILTERED, OVERLAY, BRIDGE = "no seccomp", "on an overlay", "over a bridge"
GOALS = {
    "compute": ("arithmetic in a box against outside", 1.01),
    "copy": ("memory in a box against outside", 1.01),
    "open": ("opening a file on a bind against outside", 1.03),
    "read": ("reading a file on a bind against outside", 1.03),
    "whole": ("reading whole files on a bind against outside", 1.03),
    "round-trip": ("round trips on a box's loopback against the host's", 1.03),
    "send": ("throughput of a box's loopback against the host's", 1.03),
}


class Place(NamedTuple):
    """Where a program works: the process, by its pipes, and at whose port it sends."""

    process: Any
    peer: str

    def work(self, name: str) -> float:
        """Have some done; return the nanoseconds that one took."""
        self.process.stdin.write(f"{name} {self.peer}\n" if name in NETWORK else f"{name}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    arguments = parser(__doc__, rounds=100)
    options = arguments.parse_args()
    report = Report("runtime")
    with tempfile.TemporaryDirectory(prefix="nsbox-runtime-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        program = compiled(folder)
        (folder / "file").write_bytes(os.urandom(1 << 20))
        (folder / "whole").write_bytes(os.urandom(1 << 16))
        with contextlib.ExitStack() as stack:
            places = all_places(folder, program, stack, report)
            times = measure(places, options.rounds)
    tell(report, times)
    report.finish(options.json)


def compiled(folder: Path) -> Path:
    program = folder / "runtime"
    source = str(Path(__file__).with_suffix(".c"))
    subprocess.run(["cc", "-O2", "-static", source, "-o", str(program)], check=True)
    return program


def all_places(
    folder: Path, program: Path, stack: contextlib.ExitStack, report: Report
) -> dict[str, Place]:
    """Start the program everywhere; it ends with the stack."""
    command = [str(program), "127.0.0.1", str(folder)]

    def outside() -> Any:
        return stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )

    def boxed(spec: BoxSpec) -> Any:
        return stack.enter_context(
            nsbox.popen(command, spec, stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True)
        )

    bind = RootFS.system().with_mounts(Mount.bind(folder, folder))
    overlay = RootFS.system().with_mounts(Mount.overlay(folder, folder))
    limits = Resources(memory_max="1G", cpu_max=os.cpu_count() or 1, pids_max=100)
    wanted: dict[str, Callable[[], Any]] = {
        OUTSIDE: outside,
        AGAIN: outside,
        BOX: partial(boxed, BoxSpec(rootfs=bind)),
        UNFILTERED: partial(boxed, BoxSpec(rootfs=bind, security=Security(seccomp=None))),
        LIMITS: partial(boxed, BoxSpec(rootfs=bind, resources=limits)),
        OVERLAY: partial(boxed, BoxSpec(rootfs=overlay)),
    }
    places = {}
    for name, start in wanted.items():
        try:
            process = start()
        except (nsbox.NsboxError, OSError) as error:
            report.left_out(name, error)
            continue
        places[name] = Place(process, f"127.0.0.1 {port_of(process)}")
    try:
        places[BRIDGE] = over_a_bridge(command, BoxSpec(rootfs=bind), stack)
    except (nsbox.NsboxError, OSError, ImportError) as error:
        report.left_out(BRIDGE, error)
    return places


def over_a_bridge(command: list[str], spec: BoxSpec, stack: contextlib.ExitStack) -> Place:
    """Start two boxes on a bridge, of which the second sends to the first."""
    from nsbox.network import Bridge  # noqa: PLC0415 - the other places do without the extra

    program, _, folder = command
    lan = stack.enter_context(Bridge.create("10.77.0.1/24"))
    boxes = [stack.enter_context(one.start()) for one in spec.replicate(2, link=lan)]
    processes = [
        stack.enter_context(
            box.popen([program, "0.0.0.0", folder], stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True)
        )
        for box in boxes
    ]
    port, _ = map(port_of, processes)
    return Place(processes[1], f"{boxes[0].address} {port}")


def port_of(process: Any) -> int:
    return int(process.stdout.readline())


def measure(places: dict[str, Place], rounds: int) -> dict[str, Times]:
    """Let all take turns with each kind of work: that of the network alone over the bridge."""
    times: dict[str, Times] = {}
    for work in WORKS:
        taking_part = {
            name: partial(place.work, work)
            for name, place in places.items()
            if name != BRIDGE or work in NETWORK
        }
        for turn in taking_part.values():
            turn()  # caches
        times[work] = interleaved(taking_part, rounds)
    return times


def tell(report: Report, times: dict[str, Times]) -> None:
    names = list(dict.fromkeys(name for one in times.values() for name in one))
    rows: list[list[float | str | None]] = []
    for work, title in WORKS.items():
        own = times[work]
        unit = 1000 if title.endswith("µs") else 1
        row: list[float | str | None] = [title, statistics.median(own[OUTSIDE]) / unit]
        for name in names[1:]:
            row.append(f"{ratio(own[name], own[OUTSIDE]):.3f}" if name in own else None)
        if BOX in own:
            row.append(spread(by_round(own[BOX], own[OUTSIDE])))
            _hold(report, work, own)
        rows.append(row)
        report.samples(work, own)
    columns = [names[0], *(f"{name}, x" for name in names[1:]), "a box, 10 to 90 %"]
    report.table("one piece of work, and how many times as long in a box", columns, rows)


def _hold(report: Report, work: str, own: Times) -> None:
    """Hold it against what is wanted; files without the filter too, which is their main cost."""
    if work not in GOALS:
        return
    what, most = GOALS[work]
    report.goal(what, ratio(own[BOX], own[OUTSIDE]), most)
    if work in FILES and UNFILTERED in own:
        report.goal(f"{what}, {UNFILTERED}", ratio(own[UNFILTERED], own[OUTSIDE]), most)


if __name__ == "__main__":
    main()
