"""What is written to /proc is written to the kernel's, whatever a box has put in its place."""

import os
import time
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, Security

FAKES = {
    "tmpfs": "mount -t tmpfs none /proc",
    "bind": "mount --bind /tmp/fake /proc",
    "link": "mount --bind /tmp/fake /proc; ln -s ../../tmp/victim /proc/self/uid_map",
    "nothing": "umount -l /proc",
}


def children(pid: int) -> list[str]:
    """Return all that a process has started, once it has started two levels of it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        more = [Path(f"/proc/{one}/task/{one}/children").read_text().split() for one in found]
        if found and all(more):
            return found + [pid for pids in more for pid in pids]
    raise AssertionError("nothing was started")


def gone(pid: str) -> bool:
    """Whether a process has ended, and whoever has inherited it has seen to that."""
    deadline = time.monotonic() + 2
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("fake", FAKES.values(), ids=FAKES.keys())
@pytest.mark.parametrize("pids", [Choice.NEW, Choice.HOST], ids=["own-pids", "host-pids"])
def test_a_box_with_a_faked_proc_takes_commands_and_ends_and_its_files_stay(
    fake: str, pids: Choice
) -> None:
    user = Choice.NEW if pids is Choice.NEW else Choice.HOST  # whose root could mount no /proc
    kinds = {NamespaceType.USER: user, NamespaceType.PID: pids}
    spec = BoxSpec(security=Security.privileged(), namespaces=nsbox.ISOLATED | kinds)
    if pids is Choice.HOST and os.geteuid() != 0:
        pytest.skip("needs root: /proc of the host's pids")
    made = "mkdir -p /tmp/fake/self /tmp/fake/1/attr /tmp/fake/sys/kernel; echo untouched > /tmp/victim; "
    with spec.start() as box:
        box.run(["sh", "-c", made + fake], check=True)
        assert box.run(["true"]).returncode == 0
        assert box.run(["sh", "-c", "sleep 1000 & exit 3"], timeout=20).returncode == 3
        with box.popen(["sh", "-c", "sleep 1000 & sleep 1000"]) as process:
            below = children(process.pid)
            process.kill()
            assert process.wait(timeout=20) == -9
            assert all(gone(pid) for pid in below)
        assert (box.root / "tmp/victim").read_text() == "untouched\n"
        left = box.run(["sh", "-c", "cd /tmp/fake; find . -type f"], capture_output=True)
        assert left.stdout == b""
