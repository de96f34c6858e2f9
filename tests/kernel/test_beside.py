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
from nsbox import BoxSpec
from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.perform import perform
from nsbox.plan import Slot, Step

BESIDE = CloneFlag.CLONE_NEWNET | CloneFlag.CLONE_NEWIPC
STEPS = (
    Step(Operation.UNSHARE_BESIDE, (BESIDE,)),
    Step(Operation.CLONE3, (CloneFlag(0),)),
    Step(Operation.UNSHARE_FILES),
    Step(Operation.DUP2),
    Step(Operation.EXECVEAT),
    Step(Operation.SETNS_MADE, (Slot.MAKER, BESIDE)),
)


def below_here(script: str) -> str:
    """Have it find this file."""
    return f"import sys\nsys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n{script}"


@pytest.fixture(autouse=True)
def _made_beside(root: None) -> None:
    status = Path("/proc/self/status").read_text()
    (rights,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    needed = 1 << 21 | 1 << 19  # CAP_SYS_ADMIN, CAP_SYS_PTRACE
    if len(os.sched_getaffinity(0)) < 2 or int(rights, 16) & needed != needed:
        pytest.skip("needs a second processor, CAP_SYS_ADMIN and CAP_SYS_PTRACE")
    assert BoxSpec().plan()[0].operation is Operation.UNSHARE_BESIDE


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
from nsbox import BoxSpec, Mount, RootFS
{before}
script = '''
ls /sys/class/net /dev/mqueue /proc/self/fd; cat /proc/net/dev /proc/sysvipc/msg
cat /masked /mnt/* /proc/sys/net/ipv4/ip_forward; ls /proc/sys/net/ipv6/conf /conf
'''
chosen = RootFS.system().with_mounts(
    Mount.sysfs(),
    Mount.mqueue(),
    Mount.masked("/proc/sys/net/ipv4/ip_forward"),
    Mount.masked("/proc/sys/net/ipv6/conf"),
    Mount.masked("/proc/sys/kernel/shmmax"),
    Mount.bind("/proc/net/dev", "/mnt/dev"),
    Mount.bind("/proc/sys/net/ipv4/conf", "/conf"),
    Mount.bind("/proc/self/root/proc/sys/kernel/shmmax", "/mnt/shmmax"),
)
for spec in (BoxSpec(rootfs=chosen), BoxSpec()):
    print("UNSHARE_BESIDE" in [step.operation.name for step in spec.plan()])
    for _ in range(3):  # the first, and copies of a template
        print(nsbox.run(["sh", "-c", script], spec, stdout=nsbox.PIPE, text=True).stdout)
"""


def test_a_box_is_the_same_where_there_is_one_processor() -> None:
    processor = min(os.sched_getaffinity(0))
    alone = f"os.sched_setaffinity(0, {{{processor}}})"
    beside, by_clone = (run_afresh(SEEN.format(before=one)).splitlines() for one in ("", alone))
    assert [line for line in beside if line in ("True", "False")] == ["True"] * 2
    assert [line for line in by_clone if line in ("True", "False")] == ["False"] * 2
    assert [line for line in beside if line != "True"] == [x for x in by_clone if x != "False"]
    assert "lo" in beside


@pytest.mark.parametrize("init", [True, False])
def test_a_group_that_has_room_for_the_box_alone_is_enough(init: bool) -> None:
    script = f"""
import os, nsbox
spec = nsbox.BoxSpec(init={init})
nsbox.run(["true"], spec, check=True)
own = os.readlink("/proc/self/ns/net")
with nsbox.Cgroup.create(f"nsbox-{{os.getpid()}}-few", subsystems=["pids"]) as group:
    group.attach(os.getpid())
    group.set(nsbox.Resources(pids_max={2 + init}))
    for _ in range(20):
        done = nsbox.run(["readlink", "/proc/self/ns/net"], spec, check=True, stdout=nsbox.PIPE)
        print(done.stdout.decode().strip() != own)
"""
    assert run_afresh(script).split() == ["True"] * 20


@contextlib.contextmanager
def held_up(fifo: Path) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Have a start wait for a reader of the pipe while its namespaces are made.

    With the pid of who makes them; and the box's own, in the end.
    """
    found: list[dict[str, str]] = []
    first, *others = STEPS
    steps = [first, Step(Operation.WRITE, (str(fifo), b"x")), *others]

    def start() -> None:
        launched = perform(steps, stays=True)
        found.append(namespaces(launched.pid))
        launched.abandon()

    os.mkfifo(fifo)
    starting = threading.Thread(target=start)
    starting.start()
    try:
        until(own_children)
        (maker,) = own_children()
        yield maker, found
    finally:
        reading = os.open(fifo, os.O_RDONLY)
        starting.join()
        os.close(reading)
    assert own_children() == []


def test_a_start_whose_maker_is_killed_makes_them_anew(tmp_path: Path) -> None:
    own = namespaces("self")
    with held_up(tmp_path / "fifo") as (maker, found):
        until(lambda: namespaces(maker)["net"] != own["net"])
        made = namespaces(maker)
        assert made["ipc"] != own["ipc"]
        assert made["uts"] == own["uts"]
        os.kill(maker, signal.SIGKILL)
        # It is waited for only as the start ends.
        until(lambda: "\nState:\tZ" in Path(f"/proc/{maker}/status").read_text())
    (box,) = found
    assert not {box[kind] for kind in ("net", "ipc")} & set(own.values())
    assert namespaces("self") == own


def test_a_start_that_takes_long_finds_them_made(tmp_path: Path) -> None:
    with held_up(tmp_path / "fifo") as (maker, found):
        until(lambda: namespaces(maker)["net"] != namespaces("self")["net"])
        made = namespaces(maker)
    (box,) = found
    assert (box["net"], box["ipc"]) == (made["net"], made["ipc"])


def test_who_makes_them_dies_with_its_caller(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    script = f"""
import sys
from pathlib import Path
from test_beside import held_up
with held_up(Path({str(fifo)!r})) as (maker, _):
    print(maker, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", below_here(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
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


UNSHARED = """
import ctypes, os, nsbox
from nsbox import BoxSpec, Choice, NamespaceType
spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.PID: Choice(%r)})
for _ in range(3):  # and no other child is needed
    nsbox.run(["true"], spec, check=True)
assert ctypes.CDLL(None).unshare(0x20000000) == 0  # CLONE_NEWPID
try:
    print(nsbox.run(["echo", "ran"], spec, stdout=nsbox.PIPE, text=True).stdout.strip())
except nsbox.StepError as error:
    print(error.step.name, error.errno)
for _ in range(2):
    try:
        pid = os.fork()
    except OSError as error:
        print(error.errno)
        continue
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_a_caller_whose_children_are_in_another_pid_namespace_starts_as_it_did() -> None:
    """The next child is process 1 there: nobody comes after it has ended."""
    assert run_afresh(UNSHARED % "new").split() == ["clone3", str(errno.EINVAL), str(errno.ENOMEM)]
    # The box's own first process is that, and as dead after it.
    assert run_afresh(UNSHARED % "host").split() == ["ran", str(errno.ENOMEM), str(errno.ENOMEM)]


UNSEEN = """
import ctypes, os, struct
from test_beside import STEPS, namespaces
from nsbox.perform import perform
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(24, 19, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_SYS_PTRACE
kept = ~(1 << 19) & 0xffffffff
header = struct.pack("Ii", 0x20080522, 0)
held = ctypes.create_string_buffer(24)
assert libc.capget(header, held) == 0
rights = [right & mask for right, mask in zip(struct.unpack("6I", held), [kept] * 3 + [~0] * 3)]
assert libc.capset(header, struct.pack("6I", *(right & 0xffffffff for right in rights))) == 0
assert libc.prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
launched = perform(STEPS, stays=True)
box, own = namespaces(launched.pid), namespaces("self")
launched.abandon()
print(*sorted(kind for kind in box if box[kind] != own[kind]))
"""


def test_who_may_not_be_looked_at_starts_a_box_that_makes_its_own() -> None:
    assert run_afresh(below_here(UNSEEN)).split() == ["ipc", "net"]
