"""The memory that a launch shares with its box is made while the box before it is waited for."""

import os
from pathlib import Path

import pytest
from fresh import run_afresh

import nsbox
from nsbox import _native

NAME = "/memfd:nsbox (deleted)"


def kept() -> dict[int, int]:
    """The descriptors of such memory that are open here, with their inodes."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}") == NAME:
                found[int(entry)] = os.stat(f"/proc/self/fd/{entry}").st_ino
        except FileNotFoundError:
            continue  # the one by which they were listed
    return found


def mapped() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if NAME in line]


def test_no_two_boxes_have_the_same() -> None:
    seen = set()
    for _ in range(5):
        nsbox.run(["true"], check=True)
        (inode,) = kept().values()
        assert inode not in seen
        seen.add(inode)
    assert len(mapped()) == 2  # that for the next one, and the last one's until then
    _native.forget_memory()
    assert (kept(), mapped()) == ({}, [])


def test_a_fork_has_none_of_it_and_starts_boxes_by_its_own() -> None:
    nsbox.run(["true"], check=True)
    ours = set(kept().values())
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            first = mapped() or kept()  # by either it could write what its parent's next box does
            nsbox.run(["true"], check=True)
            code = 0 if not first and not ours & set(kept().values()) else 2
        finally:
            os._exit(code)
    nsbox.run(["true"], check=True)
    assert os.waitpid(pid, 0)[1] == 0
    nsbox.run(["true"], check=True)


def test_a_caller_that_closes_what_it_does_not_know_is_not_harmed(tmp_path: Path) -> None:
    nsbox.run(["true"], check=True)
    (number,) = kept()
    with open(tmp_path / "other", "w+") as other:
        os.dup2(other.fileno(), number)
    nsbox.run(["true"], check=True)
    assert os.write(number, b"still here") == 10
    assert (tmp_path / "other").read_text() == "still here"
    os.close(number)


def test_it_never_has_the_number_of_a_standard_descriptor() -> None:
    script = (
        "import os, sys, nsbox\n"
        "for _ in range(4): nsbox.run(['true'], check=True)\n"
        "nsbox._native.forget_memory()\n"
        "os.close(0)\n"
        "nsbox.run(['true'], check=True)\n"
        "assert os.open('/dev/null', os.O_RDONLY) == 0\n"
    )
    run_afresh(script)


def test_a_command_too_long_for_it_is_started_all_the_same() -> None:
    for _ in range(4):  # until the root that is copied has been made, which takes a launch too
        nsbox.run(["true"], check=True)
    before = kept()
    done = nsbox.run(["sh", "-c", "echo ${#1}", "sh", "x" * 100_000], capture_output=True)
    assert done.stdout == b"100000\n"
    assert kept() == before


def test_what_its_groups_tell_is_not_read_from_what_the_caller_has_opened_meanwhile() -> None:
    if not nsbox.probe().cgroups.writable:
        pytest.skip(f"needs cgroups: {nsbox.probe().cgroups.reason}")
    script = (
        "import os, threading, time, nsbox\n"
        "spec = nsbox.BoxSpec(resources=nsbox.Resources(memory_max='64M'))\n"
        "for _ in range(3): nsbox.run(['true'], spec, check=True)\n"
        "os.close(0)\n"
        "process = nsbox.popen(['sleep', '1000'], spec, stdin=nsbox.DEVNULL)\n"
        "waiting = threading.Thread(target=process.wait)\n"
        "waiting.start()\n"
        "def found():\n"
        "    return {int(n): os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "            if os.path.exists(f'/proc/self/fd/{n}')}\n"
        "def peaks():\n"
        "    return [n for n, name in found().items() if 'peak' in name or 'max_usage' in name]\n"
        # They are opened by who begins to wait: as the lowest number that is free, for a moment.
        "while not peaks() or 0 in found(): time.sleep(0.01)\n"
        "(peak,) = peaks()\n"
        "reading, writing = os.pipe()\n"
        "os.write(writing, b'x')\n"
        "os.dup2(reading, peak)\n"
        "process.kill()\n"
        "waiting.join()\n"
        "assert os.read(peak, 10) == b'x'\n"
        "assert process.usage.memory_peak > 0\n"
    )
    run_afresh(script)
