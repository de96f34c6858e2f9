"""A box that stays: commands in it, what they may do, and how it ends."""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from groups import groups_named
from living import LOOK, living

import nsbox
from nsbox import Box, BoxSpec, Choice, IDMap, Mount, NamespaceType, Resources, RootFS

OWN_USER = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
HOST_PIDS = nsbox.ISOLATED | {NamespaceType.PID: Choice.HOST}
SPECS = [
    pytest.param(BoxSpec(hostname="stays"), id="plain"),
    pytest.param(BoxSpec(hostname="stays", namespaces=OWN_USER), id="user"),
    pytest.param(
        BoxSpec(hostname="stays", namespaces=HOST_PIDS),
        id="host-pids",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="/proc of the host's pids needs root"),
    ),
]


needs_cgroups = pytest.mark.skipif(
    not nsbox.probe().cgroups.writable, reason=f"needs cgroups: {nsbox.probe().cgroups.reason}"
)


@pytest.fixture(params=SPECS)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    with request.param.start() as started:
        yield started


def out(box: Box, script: str, **parameters: Any) -> str:
    done = box.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, **parameters)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def status(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_commands_share_the_machine(box: Box) -> None:
    out(box, "echo kept > /tmp/file")
    assert out(box, "cat /tmp/file; hostname") == "kept\nstays\n"
    with box.popen(["sleep", "1000"]) as sleeper:
        # The kernel tells of an exec a moment before it gives the process its new name.
        named = "until cat /proc/[0-9]*/comm | grep -x sleep; do :; done"
        assert "sleep" in out(box, named)
        sleeper.kill()
        assert sleeper.wait(timeout=60) == -9


def test_what_a_command_is_just_starting_ends_with_it() -> None:
    # A caller that is kept from its processor meanwhile has no more than these to end.
    many = "i=0; while [ $((i += 1)) -le 2000 ]; do sleep 1000 & done; exec sleep 1000"
    with BoxSpec().start() as box:
        for _ in range(20):
            with pytest.raises(subprocess.TimeoutExpired):
                box.run(["sh", "-c", many], timeout=0.02)
            left = living(box.run(LOOK, capture_output=True, text=True).stdout)
            assert sorted(left) == ["nsbox-init", "sh"]  # whose cat begins after it has looked


def test_a_second_command_is_where_the_first_is(box: Box) -> None:
    script = "for n in /proc/self/ns/*; do echo $n $(readlink $n); done; cat /proc/self/cgroup"
    first, second = out(box, script), out(box, script)
    assert first == second
    of_box = {kind: os.readlink(f"/proc/{box.pid}/ns/{kind.proc_name}") for kind in NamespaceType}
    shown = dict(line.split() for line in first.splitlines() if line.startswith("/proc/self/ns/"))
    for kind in NamespaceType:
        if f"/proc/self/ns/{kind.proc_name}" in shown:
            assert shown[f"/proc/self/ns/{kind.proc_name}"] == of_box[kind], kind


def test_a_second_command_has_the_rights_of_one_in_a_box_of_its_own(box: Box) -> None:
    first = nsbox.run(["cat", "/proc/self/status"], box.spec, capture_output=True, text=True)
    second = status(out(box, "cat /proc/self/status"))
    expected = status(first.stdout)
    for field in (
        "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
        "Seccomp", "Seccomp_filters",
    ):  # fmt: skip
        if field in expected:
            assert second[field] == expected[field], field
    assert second["NoNewPrivs"].strip() == "1"
    assert int(second["CapInh"], 16) == int(second["CapAmb"], 16) == 0


@pytest.mark.parametrize(
    "mounts",
    [
        (),
        (Mount.file("/file", "content"),),
        (Mount.tmpfs("/memory"), Mount.file("/memory/file", "content")),
        (Mount.bind("/usr", "/other"),),
    ],
    ids=["none", "file", "tmpfs", "bind"],
)
def test_a_second_command_has_the_same_root(mounts: tuple[Mount, ...]) -> None:
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(*mounts))
    script = "ls /; cat /proc/self/mountinfo | cut -d' ' -f 4-6"
    first = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True)
    with spec.start() as box:
        assert out(box, script) == first.stdout
        assert box.root.stat().st_ino == int(out(box, "stat -c %i /"))
        assert {path.name for path in box.root.iterdir()} == set(out(box, "ls -A /").split())


@needs_cgroups
def test_its_groups_hold_its_commands() -> None:
    with BoxSpec(resources=Resources(pids_max=50)).start() as box, box.popen(["sleep", "1000"]):
        assert box.stats().pids.current >= 2
        ours = Path(f"/proc/{box.pid}/cgroup").read_text()
        tasks = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
        assert all(Path(f"/proc/{pid}/cgroup").read_text() == ours for pid in tasks)


test_its_groups_hold_its_commands = pytest.mark.skipif(
    not nsbox.probe().cgroups.writable, reason=f"needs cgroups: {nsbox.probe().cgroups.reason}"
)(test_its_groups_hold_its_commands)


def test_a_hundred_commands_at_once(box: Box) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = out(box, f"echo {number}; sleep 0.1")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number}\n" for number in range(100)}


def test_orphans_are_reaped_and_detached_ones_stay(box: Box) -> None:
    out(
        box,
        "for i in 1 2 3 4 5; do (setsid sleep 0.05 &) ; done; (setsid sleep 1000 >/dev/null 2>&1 &)",
    )
    if box.spec.namespaces[NamespaceType.PID] is Choice.NEW:  # else others are seen as well
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            states = out(box, "cat /proc/[0-9]*/stat; :")
            if ") Z " not in states and states.count("(sleep)") == 1:
                break
            time.sleep(0.05)
        assert ") Z " not in states
        assert states.count("(sleep)") == 1


def test_a_timeout_ends_the_command_and_not_the_box(box: Box) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.3)
    if box.spec.namespaces[NamespaceType.PID] is Choice.NEW:  # else others sleep as well
        assert "sleep" not in living(box.run(LOOK, capture_output=True, text=True).stdout)
    assert box.poll() is None


SIBLINGS = """
import ctypes, os, platform, signal, sys, time
SYS_CLONE = {"x86_64": 56}.get(platform.machine(), 220)
CLONE_PARENT = 0x8000
clone = ctypes.CDLL(None).syscall
def sibling():
    return clone(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
for life in sys.argv[2:]:
    if sibling() == 0:
        while life == "ever":  # one makes another and ends, so that none is found where it was
            if sibling():
                os._exit(0)
        if life == "more":  # it makes another, and ends
            os._exit(0) if sibling() else os.execvp("sleep", ["sleep", sys.argv[1]])
        os._exit(0) if life == "none" else os.execvp("sleep", ["sleep", sys.argv[1]])
"""


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("lives", [["all"], ["none"], ["more"], ["ever"], ["none", "all", "ever"]])
def test_what_a_command_makes_a_child_of_its_starter_ends_with_it(
    spec: BoxSpec, lives: list[str]
) -> None:
    word = str(random.randrange(10**8, 10**9))
    spec = attrs.evolve(spec, rootfs=RootFS.system(python=True))
    with spec.start() as box:
        for _ in range(3):
            command = [sys.executable, "-c", SIBLINGS, word, *lives]
            assert box.run(command, timeout=60).returncode == 0
            assert not _commands_with(word)
    staying = [sys.executable, "-c", f"{SIBLINGS}\ntime.sleep(1000)", word, *lives]
    with nsbox.popen(staying, spec) as command:
        time.sleep(0.2)
        command.kill()
        command.wait(timeout=60)
        assert not _commands_with(word)


def _commands_with(word: str) -> list[str]:
    """Return the pids of all here that have this argument."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in file.read_bytes().split(b"\0"):
                found.append(file.parent.name)
    return found


def test_a_box_that_has_just_ended_takes_no_command() -> None:
    with BoxSpec().start() as box:
        assert box.run(["true"]).returncode == 0
        os.kill(box.pid, signal.SIGKILL)
        assert select.select([box], [], [], 60)[0]
        for _ in range(2):  # it has not been waited for
            with pytest.raises(ProcessLookupError, match="has ended"):
                box.run(["true"])
            with pytest.raises(ProcessLookupError, match="has ended"):
                box.popen(["true"])
        assert box.wait() == -signal.SIGKILL
        with pytest.raises(ProcessLookupError, match="has ended"):
            box.run(["true"])


def test_a_command_that_fails_to_start_leaves_nothing_in_it(box: Box) -> None:
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            box.popen(["no-such-command"])
    if box.spec.namespaces[NamespaceType.PID] is Choice.NEW:
        assert out(box, "ls -d /proc/[0-9]* | wc -l").strip() in ("4", "3")
    box.kill()
    box.wait(timeout=60)


@pytest.mark.parametrize("state", ["idle", "busy", "stubborn", "stopped", "frozen", "ended"])
@pytest.mark.parametrize("end", ["stop", "kill", "close", "exit"])
def test_every_end_is_an_end(state: str, end: str) -> None:
    if state == "frozen" and not nsbox.probe().cgroups.writable:
        pytest.skip(f"needs cgroups: {nsbox.probe().cgroups.reason}")
    box = BoxSpec().start()
    commands = []
    if state != "idle":
        script = "trap '' TERM; echo r; while :; do sleep 0.05; done"
        command = ["sh", "-c", script if state == "stubborn" else "echo r; exec sleep 1000"]
        commands.append(box.popen(command, stdout=nsbox.PIPE))
        assert commands[0].stdout.readline() == b"r\n"
    if state == "stopped":
        commands[0].send_signal(signal.SIGSTOP)
    if state == "frozen":
        box.freeze()
    if state == "ended":
        box.kill()
        box.wait(timeout=60)
    ending = {
        "stop": lambda: box.stop(timeout=0.3),
        "kill": box.kill,
        "close": box.close,
        "exit": lambda: box.__exit__(None, None, None),
    }
    began = time.monotonic()
    ending[end]()
    if end in ("stop", "kill"):
        assert box.wait(timeout=20) is not None
    assert time.monotonic() - began < 20
    assert not Path(f"/proc/{box.pid}/exe").exists()
    box.close()
    box.close()
    for command in commands:
        assert command.wait(timeout=60) != 0
        command.close()
    with pytest.raises(ProcessLookupError):
        box.run(["true"])


@needs_cgroups
def test_nothing_is_started_in_a_frozen_box() -> None:
    with BoxSpec().start() as box, box.popen(["sleep", "1000"]) as command:
        box.freeze()
        with pytest.raises(BlockingIOError, match="frozen"):
            box.run(["true"])
        box.thaw()
        assert box.run(["true"]).returncode == 0
        box.freeze()
        command.close()  # before the box, as a with statement has it
    assert command.returncode is not None


def test_stop_lets_commands_end_by_themselves() -> None:
    script = (
        "trap 'echo bye > /tmp/bye; echo bye; exit 3' TERM; echo r; while :; do sleep 0.02; done"
    )
    with (
        BoxSpec().start() as box,
        box.popen(["sh", "-c", script], stdout=nsbox.PIPE, text=True) as command,
    ):
        assert command.stdout.readline() == "r\n"
        assert box.stop(timeout=60) == 0
        assert command.wait(timeout=60) == 3
        assert command.stdout.read() == "bye\n"


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_a_box_ends_when_its_owner_is_killed(sig: signal.Signals) -> None:
    script = (
        "import nsbox, time\n"
        "box = nsbox.BoxSpec().start(); one = box.popen(['sleep', '1000'])\n"
        "print(box.pid, one.pid, flush=True); time.sleep(1000)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = owner.stdout.readline().split()
        owner.send_signal(sig)
        owner.wait(timeout=60)
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(_runs(pid) for pid in pids)
    nsbox.reap()  # the dead owner's groups
    assert groups_named(f"nsbox-{owner.pid}-*") == []


def _runs(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_fork_with_live_handles_harms_none() -> None:
    """In the fork the handles are let go of: by leaving the block, by close, by collection."""
    script = (
        "import gc, nsbox, os, sys\n"
        "with nsbox.BoxSpec().start() as box, box.popen(['sleep', '1000']) as one:\n"
        "    two = box.popen(['sleep', '1000'])\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        del two; gc.collect()\n"
        "        one.close(); box.close(); sys.exit(5)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5\n"
        "    print(box.poll(), one.poll(), two.poll())\n"
        "    print(box.run(['echo', 'alive'], capture_output=True, text=True).stdout)\n"
        "    two.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["None", "None", "None", "alive"], done.stderr


def test_ids_of_a_user_namespace_are_the_commands_too() -> None:
    with BoxSpec(namespaces=OWN_USER, id_map=IDMap.same()).start() as box:
        assert out(box, "id -u; id -g").split() == [str(os.geteuid()), str(os.getegid())]
