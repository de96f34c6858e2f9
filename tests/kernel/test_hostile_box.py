"""A hostile process in a box, while commands join it: it never gets hold of one before its exec."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from below import until

import nsbox
from nsbox import Box, BoxSpec, Choice, Mount, NamespaceType, RootFS

ATTACKER = r"""
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, WALL = 0x4206, 0x40000000  # which does not stop it: commands come to their end


def comm(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def before_exec(pid):
    '''Whether a process that can be looked at is still the one that enters.

    Its name alone does not say: an exec changes it a moment after the memory.
    '''
    try:
        return comm(pid) == "nsbox-init" and "nsbox-init" in os.readlink(f"/proc/{pid}/exe")
    except PermissionError:
        return comm(pid) == "nsbox-init"


def reach(pid):
    '''Every way into another process; yields the ways that were open.'''
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
        yield "mem"
    except OSError:
        pass
    for link in ("exe", "cwd", "root", "fd/0", "fd/1", "fd/2", "fd/3", "fd/4"):
        try:
            os.readlink(f"/proc/{pid}/{link}")
            yield link
        except OSError:
            pass
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
        yield "ptrace"


seen, held, others = 0, set(), set()
running = {"mem", "fd/1", "exe"}  # what is open of a command that has begun
own = {1, os.getpid()}
print("ready", flush=True)
sys.stdin.readline()  # until no other is just starting, to be taken for a command and held
while not os.path.exists("/tmp/enough"):
    try:
        while os.waitpid(-1, os.WNOHANG | WALL)[0]:
            pass
    except ChildProcessError:
        pass
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in own:
            continue
        try:
            before = comm(name)
            if before.startswith("python"):
                continue  # another one like this, and each would wait for the other
            seen += before == "nsbox-init"
            for way in reach(int(name)):
                (held if before_exec(name) else others).add(way)
            if running <= others:
                open(f"/tmp/reached-{os.getpid()}", "w").close()
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
        box.popen(command, stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True) as one,
        box.popen(command, stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True) as two,
    ):
        for attacker in (one, two):
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "ready\n"
        for attacker in (one, two):
            assert attacker.stdin is not None
            attacker.stdin.write("begin\n")
            attacker.stdin.flush()
        deadline = time.monotonic() + 20
        for number in range(300):
            assert box.run(["true"], timeout=60).returncode == 0, number
            if time.monotonic() > deadline:
                break
        with box.popen(["sleep", "1000"]):
            until(lambda: len(list((box.root / "tmp").iterdir())) == 2)  # both have reached it
        (box.root / "tmp/enough").write_text("")
        answers = [attacker.communicate(timeout=60)[0].split() for attacker in (one, two)]
    assert [held for _, held, _ in answers] == ["none", "none"]
    # The attack is one: it saw commands join, and what is there to be reached it has reached.
    assert sum(int(seen) for seen, _, _ in answers) > 0
    assert all({"mem", "fd/1", "exe"} <= set(others.split(",")) for _, _, others in answers)


TRACER = r"""
import ctypes, os, sys, time

libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
while True:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            libc.ptrace(16, int(name), 0, 0)  # and never look after it again
"""


@pytest.mark.parametrize("end", ["timeout", "kill", "close"])
def test_a_tracer_in_the_box_cannot_keep_the_caller_waiting(box: Box, end: str) -> None:
    command = [sys.executable, "-c", TRACER]
    with box.popen(command, stdout=nsbox.PIPE, text=True) as tracer:
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == "ready\n"
        began = time.monotonic()
        for _ in range(3):
            if end == "timeout":
                with pytest.raises(subprocess.TimeoutExpired):
                    box.run(["sleep", "1000"], timeout=0.2)
                continue
            victim = box.popen(["sleep", "1000"])
            time.sleep(0.1)
            if end == "kill":
                victim.kill()
                assert victim.wait(timeout=20) == -9
            victim.close()
        assert time.monotonic() - began < 25


def test_the_first_process_cannot_be_reached_either(box: Box) -> None:
    script = (
        "cat /proc/1/environ; readlink /proc/1/fd/*; readlink /proc/1/exe; echo x > /proc/1/mem"
    )
    done = box.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") >= 2
    assert Path(f"/proc/{box.pid}").exists()
