"""What a long run could have left behind, counted before and after it.

Programs beside this one do a lot and let `nothing_left` look. They are no part of the test run, which
they would make long: `.ci/run` starts each at a fraction of its size.
"""

import argparse
import contextlib
import ctypes
import gc
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nsbox import _native
from nsbox.kept import KEPT

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 1 << 14, 1 << 18
GROWTH_MAX = 16 << 20
"""How much (bytes) the program's own memory may grow once it has warmed up."""
PATIENCE = 10.0
"""How long (seconds) the kernel may take to remove what has ended."""


def scale() -> float:
    """Return the size that the command line asks for, as a fraction of the whole."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the whole size")
    found: float = parser.parse_args().scale
    return found


class Remains:
    """Counts of what this process holds, and of what it has made."""

    def __init__(self) -> None:
        KEPT.forget()  # templates of roots, which are kept on purpose
        _native.forget_memory()  # for the next launch
        gc.collect()
        self.counts = {
            "descriptors": Counter(map(_kind, _links("/proc/self/fd"))),
            "processes": Counter(_descendants(os.getpid())),
            "threads": Counter(threads=len(os.listdir("/proc/self/task"))),
            "mounts": Counter(Path("/proc/self/mountinfo").read_text().splitlines()),
            "cgroups": Counter(_cgroups()),
            "namespaces": Counter(_links("/proc/thread-self/ns")),
        }

    def more_than(self, before: "Remains") -> list[str]:
        """Tell what has come; what has gone is no matter, others may have unmounted it."""
        return [
            f"{name}: {sorted(more.items())}"
            for name, now in self.counts.items()
            if (more := now - before.counts[name])
        ]


@contextlib.contextmanager
def nothing_left(name: str) -> Iterator["Growth"]:
    """Look before and after, and exit where something is left. The block warms up first.

    Whatever lost its parent below us becomes our own child, and so is seen.
    """
    _be_apart()
    _native.first_process()  # made once in a process, and kept
    before, growth, began = Remains(), Growth(), time.monotonic()
    yield growth
    took, deadline = time.monotonic() - began, time.monotonic() + PATIENCE
    while (found := Remains().more_than(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    grown = growth.bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if grown > GROWTH_MAX:
        found.append(f"memory: {grown >> 10} KiB more than after the first tenth")
    print(f"{name}: {took:.1f} s, memory {grown >> 10:+} KiB, at most {peak} MiB", flush=True)
    if found:
        sys.exit("\n".join(["left behind:", *found]))


class Growth:
    """How much memory this process has more than when it had warmed up."""

    def __init__(self) -> None:
        self._warm: int | None = None

    def warm(self) -> None:
        """Say that what is kept for good is there by now; only the first time counts."""
        if self._warm is None:
            self._warm = _resident()

    def bytes(self) -> int:
        gc.collect()
        return 0 if self._warm is None else _resident() - self._warm


def _be_apart() -> None:
    """Adopt orphans; and let no mount of others on this host, where root can, be among ours."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _links(folder: str) -> list[str]:
    found = []
    for entry in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # what the listing itself had open
            found.append(os.readlink(f"{folder}/{entry}"))
    return found


def _kind(link: str) -> str:
    return link.partition(":")[0] if ":" in link else link


def _descendants(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # ended meanwhile
            for child in map(int, task.read_text().split()):
                yield f"{child} {Path(f'/proc/{child}/comm').read_text().strip()}"
                yield from _descendants(child)


def _cgroups() -> Iterator[str]:
    """Groups that this process made: it is the owner that their names tell."""
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{folder}/{one}" for one in names if one.startswith(f"nsbox-{os.getpid()}-"))
        names[:] = [one for one in names if not one.startswith("nsbox-")]
