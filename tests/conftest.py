"""After each test nothing is left: one fixture checks it everywhere."""

import gc
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from below import own_children

import nsbox
from nsbox import BoxSpec, Resources, Security, _native
from nsbox.kept import KEPT

# nohup(1), and a shell for what it runs in the background, have them ignored by all that follows.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Traces(NamedTuple):
    """What a test could leave behind, or could have changed in its own process."""

    descriptors: dict[str, str]
    children: frozenset[int]
    threads: int
    mounts: tuple[str, ...]
    cgroups: frozenset[str]
    namespaces: dict[str, str]
    attributes: tuple[object, ...]

    @classmethod
    def now(cls) -> "Traces":
        _native.forget_memory()  # kept for the next launch
        return cls(
            _links(Path("/proc/self/fd")),
            frozenset(own_children()),
            len(os.listdir("/proc/self/task")),
            tuple(Path("/proc/self/mountinfo").read_text().splitlines()),
            frozenset(map(str, _own_cgroups())),
            _links(Path("/proc/thread-self/ns")),
            (os.getcwd(), _umask(), _status("SigBlk"), _status("CapEff")),
        )


def _links(folder: Path) -> dict[str, str]:
    found = {}
    for entry in os.listdir(folder):
        try:
            found[entry] = os.readlink(folder / entry)
        except FileNotFoundError:
            continue  # the descriptor that the listing itself had open
    return found


def _own_cgroups() -> Iterator[Path]:
    """Groups that this process made: it is the owner that their names tell."""
    prefix = f"nsbox-{os.getpid()}-"
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (Path(folder, name) for name in names if name.startswith(prefix))
        names[:] = [name for name in names if not name.startswith("nsbox-")]


def _status(field: str) -> str:
    text = Path("/proc/thread-self/status").read_text()
    return next(line for line in text.splitlines() if line.startswith(f"{field}:"))


def _umask() -> str:
    return _status("Umask")


def _collect() -> None:
    """Collect what has gone, and spare the next time what stays: it is most, and it grows."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    _collect()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    _native.first_process()  # made once in a process, and kept
    before = Traces.now()
    yield
    KEPT.forget()  # what is kept for the next boxes, a descriptor or two among it
    _collect()
    deadline = time.monotonic() + 2
    while (after := Traces.now()) != before and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that was joined is still seen for a moment
    for field in Traces._fields:
        assert getattr(after, field) == getattr(before, field), f"left behind: {field}"


@pytest.fixture
def root() -> None:
    """The test needs rights that an ordinary user lacks."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def ordinary_user() -> None:
    """The test is about a caller without rights."""
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user: `.ci/run` runs the rootless tests as one")


@pytest.fixture
def busybox() -> str:
    """A program that runs in a tree that has no library."""
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("needs busybox (Debian: busybox-static)")
    return found


@pytest.fixture
def strict() -> BoxSpec:
    """A box for untrusted programs, with the limits that it takes."""
    report = nsbox.probe()
    for finding in (report.cgroups, report.landlock, report.user_namespaces):
        if not finding.ok:
            pytest.skip(f"needs {finding.name}: {finding.reason}")
    if not report.cgroups.writable:
        pytest.skip("needs cgroups to write to")
    if "memory" not in nsbox.subsystems():
        pytest.skip("needs the memory subsystem in a hierarchy: on v1, Linux 6.12 may lack it")
    limits = Resources(memory_max="64M", pids_max=32)
    return BoxSpec(security=Security.strict(), resources=limits)
