"""Namespaces that are made beside the rest of a box, by a process that is gone once it begins."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from below import own_children, until
from fresh import run_afresh

import nsbox
from nsbox import BoxSpec, StepError
from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.perform import perform
from nsbox.plan import Slot, Step

BESIDE = CloneFlag.CLONE_NEWNET | CloneFlag.CLONE_NEWIPC


@pytest.fixture(autouse=True)
def _made_beside(root: None) -> None:
    if BoxSpec().plan()[0].operation is not Operation.UNSHARE_BESIDE:
        pytest.skip("needs a second processor, CAP_SYS_ADMIN and CAP_SYS_PTRACE")


def namespaces(pid: int | str) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "ipc", "uts", "mnt")}


def test_who_starts_a_box_finds_it_in_its_own_namespaces_and_nobody_else_left() -> None:
    own = namespaces("self")
    for _ in range(30):
        with nsbox.popen(["sleep", "1000"]) as process:
            found = namespaces(process.pid)
            assert not set(found.items()) & set(own.items())
            assert own_children() == [process.pid]
            process.kill()


SEEN = """
import os, nsbox
{before}
spec = nsbox.BoxSpec(
    rootfs=nsbox.RootFS.system().with_mounts(nsbox.Mount.sysfs(), nsbox.Mount.mqueue())
)
print("UNSHARE_BESIDE" in [step.operation.name for step in spec.plan()])
script = "ls /sys/class/net /dev/mqueue /proc/self/fd; cat /proc/net/dev /proc/sysvipc/msg"
box = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, check=True)
print(box.stdout)
"""


def test_a_box_is_the_same_where_there_is_one_processor() -> None:
    processor = min(os.sched_getaffinity(0))
    alone = f"os.sched_setaffinity(0, {{{processor}}})"
    beside, by_clone = (run_afresh(SEEN.format(before=one)).splitlines() for one in ("", alone))
    assert (beside[0], by_clone[0]) == ("True", "False")
    assert beside[1:] == by_clone[1:]
    assert "lo" in beside


@pytest.mark.parametrize("init", [True, False])
def test_a_group_that_has_room_for_the_box_alone_is_enough(init: bool) -> None:
    script = f"""
import os, nsbox
spec = nsbox.BoxSpec(init={init})
nsbox.run(["true"], spec, check=True)
own = os.readlink("/proc/self/ns/net")
with nsbox.Cgroup.create("nsbox-few", subsystems=["pids"]) as group:
    group.attach(os.getpid())
    group.set(nsbox.Resources(pids_max={2 + init}))
    for _ in range(20):
        done = nsbox.run(["readlink", "/proc/self/ns/net"], spec, check=True, stdout=nsbox.PIPE)
        print(done.stdout.decode().strip() != own)
"""
    assert run_afresh(script).split() == ["True"] * 20


@contextlib.contextmanager
def held_up(fifo: Path) -> Iterator[tuple[int, list[BaseException]]]:
    """Have a start wait for a reader of the pipe, once its namespaces are being made; with the maker's pid."""
    raised: list[BaseException] = []
    steps = [
        Step(Operation.UNSHARE_BESIDE, (BESIDE,)),
        Step(Operation.WRITE, (str(fifo), b"x")),
        Step(Operation.CLONE3, (CloneFlag(0),)),
        Step(Operation.UNSHARE_FILES),
        Step(Operation.DUP2),
        Step(Operation.EXECVEAT),
        Step(Operation.SETNS_MADE, (Slot.MAKER, BESIDE)),
    ]

    def start() -> None:
        try:
            perform(steps, stays=True).abandon()
        except BaseException as error:
            raised.append(error)

    os.mkfifo(fifo)
    starting = threading.Thread(target=start)
    starting.start()
    try:
        until(own_children)
        (maker,) = own_children()
        yield maker, raised
    finally:
        reading = os.open(fifo, os.O_RDONLY)
        starting.join()
        os.close(reading)
    assert own_children() == []


def test_a_start_whose_maker_is_killed_says_so(tmp_path: Path) -> None:
    own = namespaces("self")
    with held_up(tmp_path / "fifo") as (maker, raised):
        until(lambda: namespaces(maker)["net"] != own["net"])
        assert namespaces(maker)["ipc"] != own["ipc"]
        assert namespaces(maker)["uts"] == own["uts"]
        os.kill(maker, signal.SIGKILL)
        # It is waited for only as the start ends.
        until(lambda: "\nState:\tZ" in Path(f"/proc/{maker}/status").read_text())
    (error,) = raised
    assert isinstance(error, StepError)
    assert (error.errno, error.step.operation) == (errno.ESRCH, Operation.SETNS_MADE)
    assert namespaces("self") == own


def test_a_start_goes_on_after_a_while(tmp_path: Path) -> None:
    with held_up(tmp_path / "fifo") as (_, raised):
        pass
    assert raised == []


def test_who_makes_them_dies_with_its_caller(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    script = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from test_beside import held_up
with held_up(Path({str(fifo)!r})) as (maker, _):
    print(maker, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as caller:
        assert caller.stdout is not None
        maker = os.pidfd_open(int(caller.stdout.readline()))
        caller.kill()
    try:
        until(lambda: signalled(maker) == errno.ESRCH)
    finally:
        os.close(maker)


def signalled(pidfd: int) -> int:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except OSError as error:
        return error.errno or 0
    return 0


def test_a_namespace_that_cannot_be_made_is_told_of_its_own_step() -> None:
    """In a user namespace, whose limits are its own."""
    script = """
import errno, nsbox
with open("/proc/sys/user/max_net_namespaces", "w") as file:
    file.write("0")
try:
    nsbox.run(["true"])
except nsbox.StepError as error:
    print(error.step.name, errno.errorcode[error.errno], error.index, error)
"""
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("unshare ENOSPC 0 ")
    assert "user.max_net_namespaces is 0" in done.stdout
