"""A hostile process in a box, while commands join it: it never gets hold of one before its exec."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox import Box, BoxSpec, Choice, Mount, NamespaceType, RootFS

ATTACKER = r"""
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


def comm(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def reach(pid):
    '''Every way into another process; yields the ways that were open.'''
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
        yield "mem"
    except OSError:
        pass
    try:
        os.listdir(f"/proc/{pid}/fd")
        yield "fd"
    except OSError:
        pass
    for link in ("exe", "cwd", "root"):
        try:
            os.readlink(f"/proc/{pid}/{link}")
            yield link
        except OSError:
            pass
    if libc.ptrace(PTRACE_ATTACH, pid, 0, 0) == 0:
        yield "ptrace"
        os.waitpid(pid, WALL)
        libc.ptrace(PTRACE_DETACH, pid, 0, 0)


seen, held, others = 0, set(), set()
own = {1, os.getpid()}
print("ready", flush=True)
while not os.path.exists("/tmp/enough"):
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in own:
            continue
        try:
            before = comm(name)
            seen += before == "nsbox-init"
            for way in reach(int(name)):
                # The name changes with the exec: still the old one, so it was before.
                (held if comm(name) == "nsbox-init" else others).add(way)
        except OSError:
            continue  # it has ended meanwhile
print(seen, ",".join(sorted(held)) or "none", ",".join(sorted(others)) or "none")
"""

NAMESPACES = [
    pytest.param(nsbox.ISOLATED, id="plain"),
    pytest.param(nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}, id="user"),
]


@pytest.fixture(params=NAMESPACES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    rootfs = RootFS.system(python=True).with_mounts(Mount.file("/attacker.py", ATTACKER))
    with BoxSpec(rootfs=rootfs, namespaces=request.param).start() as started:
        yield started


def test_what_joins_a_box_cannot_be_reached_before_its_exec(box: Box) -> None:
    command = [sys.executable, "/attacker.py"]
    with (
        box.popen(command, stdout=nsbox.PIPE, text=True) as one,
        box.popen(command, stdout=nsbox.PIPE, text=True) as two,
    ):
        for attacker in (one, two):
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 20
        for number in range(300):
            assert box.run(["true"], timeout=60).returncode in (0, -9), number
            if time.monotonic() > deadline:
                break
        with box.popen(["sleep", "1000"]):
            time.sleep(0.3)
        (box.root / "tmp/enough").write_text("")
        answers = [attacker.communicate(timeout=60)[0].split() for attacker in (one, two)]
    assert [held for _, held, _ in answers] == ["none", "none"]
    # The attack is one: it saw commands join, and what is there to be reached it has reached.
    assert sum(int(seen) for seen, _, _ in answers) > 0
    assert all({"mem", "fd", "exe"} <= set(others.split(",")) for _, _, others in answers)


def test_the_first_process_cannot_be_reached_either(box: Box) -> None:
    script = "cat /proc/1/environ; ls /proc/1/fd; readlink /proc/1/exe; echo x > /proc/1/mem"
    done = box.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") >= 3
    assert Path(f"/proc/{box.pid}").exists()
