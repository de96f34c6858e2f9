"""Each call in a box of its own, forked from an interpreter that has all imported."""

import ctypes
import errno
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from below import processes_below, until
from rights import FIELDS

import nsbox
from nsbox import BoxExecutor, BoxSpec, Choice, Mount, NamespaceType, Resources, RootFS, Security
from nsbox.constants import Capability
from nsbox.executor import worker as worker_module

cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPEC = BoxSpec(rootfs=RootFS.system(python=True), hostname="worker")
PRIVILEGED = attrs.evolve(SPEC, security=Security.privileged())
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
KEY = 4711

pytestmark = pytest.mark.usefixtures("root")


def tell() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


def tell_and_wait() -> dict[str, str]:
    Path("/shared/here").touch()
    for _ in range(6000):
        if os.path.exists("/shared/go"):
            break
        time.sleep(0.01)
    return tell()


def test_no_namespace_is_that_of_another_call_or_of_the_zygote(tmp_path: Path) -> None:
    spec = attrs.evolve(SPEC, rootfs=SPEC.rootfs.with_mounts(Mount.bind(tmp_path, "/shared")))
    held: list[int] = []
    with BoxExecutor(spec, max_workers=1) as executor:
        assert executor.box_per_call
        first = executor.submit(tell_and_wait)
        until((tmp_path / "here").exists)
        zygotes = []
        try:  # as long as they are open, their numbers are nobody else's
            for pid in processes_below(os.getpid()):
                try:
                    for kind in KINDS:
                        held.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY))
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # it has ended meanwhile, or was about to become another
                if os.stat(f"/proc/{pid}/ns/pid") == os.stat("/proc/self/ns/pid"):
                    zygotes += [os.readlink(f"/proc/self/fd/{fd}") for fd in held[-len(KINDS) :]]
            (tmp_path / "go").touch()
            one, other = first.result(timeout=60), executor.submit(tell).result(timeout=60)
        finally:
            for fd in held:
                os.close(fd)
    assert zygotes
    for found in (one, other):
        assert not set(found.values()) & {*zygotes, *tell().values()}
    assert not set(one.values()) & set(other.values())


def leave_all() -> None:
    """Leave what the kernel keeps for a namespace, and what a process keeps for itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.sethostname(b"changed", 7) == 0
    os.mkdir("/tmp/mounted")
    assert libc.mount(b"none", b"/tmp/mounted", b"tmpfs", 0, None) == 0
    Path("/tmp/mounted/file").touch()
    Path("/dev/shm/left").touch()
    assert libc.shmget(KEY, 4096, 0o1600) >= 0  # IPC_CREAT
    assert libc.msgget(KEY, 0o1600) >= 0
    if os.fork() == 0:
        os.setsid()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0left")
        listener.listen()
        other = socket.create_server(("127.0.0.1", KEY))
        while True:
            time.sleep(10 + 0 * other.fileno())
    for _ in range(6000):
        if can_connect():
            break
        time.sleep(0.01)


def can_connect() -> bool:
    with socket.socket(socket.AF_UNIX) as unix:
        return unix.connect_ex("\0left") == 0


def look() -> dict[str, Any]:
    libc = ctypes.CDLL(None)
    return {
        "name": socket.gethostname(),
        "files": os.listdir("/tmp") + os.listdir("/dev/shm"),
        "mounts": Path("/proc/self/mounts").read_text().count("\n"),
        "shared memory": libc.shmget(KEY, 0, 0),
        "queue": libc.msgget(KEY, 0),
        "abstract socket": can_connect(),
        "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
    }


def test_nothing_that_a_call_leaves_is_there_for_the_next() -> None:
    with BoxExecutor(PRIVILEGED, max_workers=1) as executor:
        before = executor.submit(look).result(timeout=60)
        assert before["name"] == "worker"
        assert before["processes"] == ["1", "2"]  # and neither is the zygote
        assert (before["shared memory"], before["queue"]) == (-1, -1)
        for _ in range(2):
            executor.submit(leave_all).result(timeout=60)
            assert executor.submit(look).result(timeout=60) == before


def standing() -> dict[str, Any]:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {
        **{field: status[field] for field in FIELDS},
        "limits": {name: list(resource.getrlimit(number)) for name, number in limits.items()},
        "cwd": os.getcwd(),
        "securebits": ctypes.CDLL(None).prctl(27, 0, 0, 0, 0),  # PR_GET_SECUREBITS
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "mounts": mounts(),
        "groups": Path("/proc/self/cgroup").read_text(),
        "user": Path("/proc/self/uid_map").read_text(),
        "environment": dict(os.environ),
        "may write": [path for path in ("/tmp", "/", "/dev") if os.access(path, os.W_OK)],
    }


def mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(" ".join(line.split()[4:6]) for line in lines)


ALONE = f"""
import ctypes, json, os, resource
from pathlib import Path
FIELDS = {FIELDS!r}
"""


def source() -> str:
    import inspect

    parts = (inspect.getsource(mounts), inspect.getsource(standing).replace("[str, Any]", ""))
    return ALONE + "\n".join(parts) + "\nprint(json.dumps(standing()))"


SPECS = {
    "default": SPEC,
    "strict": attrs.evolve(
        SPEC,
        security=Security.strict(),
        resources=Resources(memory_max="256M", pids_max=64),
    ),
    "privileged": PRIVILEGED,
    "no filter": attrs.evolve(SPEC, security=Security(seccomp=None, no_new_privs=False)),
    "no rights": attrs.evolve(SPEC, security=Security(capabilities=Capability(0))),
    "a user namespace": attrs.evolve(SPEC, security=Security(user_namespace=True)),
    "another user": attrs.evolve(SPEC, user=1234, group=1234, cwd="/tmp", umask=0o077),
    "its ambient right": attrs.evolve(
        SPEC,
        user=1234,
        security=Security(ambient=Capability.CAP_NET_BIND_SERVICE, rlimits={"nofile": 200}),
    ),
    "nice": attrs.evolve(SPEC, nice=5, sysctl={"net.ipv4.ip_forward": "1"}),
    "the host's network": attrs.evolve(
        SPEC, namespaces=nsbox.ISOLATED | {NamespaceType.NET: Choice.HOST}
    ),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_call_has_what_a_command_of_the_same_spec_has(spec: BoxSpec) -> None:
    if spec.security.needs_limits and "memory" not in nsbox.subsystems():
        pytest.skip("needs the memory subsystem in a hierarchy")
    command = [sys.executable, "-P", "-s", "-B", "-c", source()]
    done = nsbox.run(command, spec, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with BoxExecutor(spec, max_workers=1) as executor:
        assert executor.box_per_call
        found = [executor.submit(standing).result(timeout=60) for _ in range(2)]
    expected = json.loads(done.stdout)
    for one in found:
        assert one == expected


def test_a_step_that_fails_is_what_the_call_raises() -> None:
    with BoxExecutor(attrs.evolve(SPEC, cwd="/nowhere"), max_workers=1) as executor:
        for size in (1, 10_000_000):
            error = executor.submit(len, b"x" * size).exception(timeout=60)
            assert isinstance(error, nsbox.StepError)
            assert (error.step.name, error.errno) == ("chdir", errno.ENOENT)


def descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # of the listing itself
    return found


def test_a_call_has_one_descriptor_beside_the_standard_ones() -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        found = executor.submit(descriptors).result(timeout=60)
    assert set(found) == {0, 1, 2, 3}
    assert found[3].startswith("socket:")


def shared_memory() -> list[str]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if line.split()[1][1] == "w" and line.split()[1][3] == "s"]


def test_a_call_shares_no_memory_that_it_can_write_to() -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.submit(shared_memory).result(timeout=60) == []


def write_to_program() -> tuple[int | None, int]:
    found = None
    try:
        os.close(os.open("/proc/self/exe", os.O_WRONLY))
    except OSError as error:
        found = error.errno
    return found, os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY


def test_no_call_can_write_to_the_program_that_the_next_comes_from() -> None:
    with BoxExecutor(PRIVILEGED, max_workers=1) as executor:
        # As long as it runs it is busy, and where it is, nothing can be written at all.
        assert executor.submit(write_to_program).result(timeout=60) == (errno.ETXTBSY, 1)


def test_a_network_that_is_joined_is_every_calls() -> None:
    with nsbox.Namespace.create(NamespaceType.NET) as net:
        namespaces = nsbox.ISOLATED | {NamespaceType.NET: net}
        spec = attrs.evolve(SPEC, namespaces=namespaces)
        with BoxExecutor(spec, max_workers=1) as executor:
            found = [executor.submit(tell).result(timeout=60)["net"] for _ in range(2)]
        assert found == [f"net:[{os.stat(net.fileno()).st_ino}]"] * 2


def sleep_and_tell() -> None:
    print("here", flush=True)
    time.sleep(1000)


@pytest.mark.parametrize("by", ["kill_workers", "timeout"])
def test_a_call_of_another_user_ends_though_nobody_beside_it_may_kill_it(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def user() -> int | None:
        try:
            return executor.submit(os.getuid).result()
        except TimeoutError:  # the machine has stalled
            return None

    monkeypatch.setattr(worker_module, "PATIENCE", 1000.0)  # what does not end would be seen
    spec = attrs.evolve(SPEC, user=1234, security=Security(capabilities=Capability(0)))
    timeout = 1 if by == "timeout" else None
    with (
        open(tmp_path / "told", "w+b") as told,
        BoxExecutor(spec, max_workers=1, timeout=timeout, stdout=told) as executor,
    ):
        until(lambda: user() == 1234)
        future = executor.submit(sleep_and_tell)
        began = time.monotonic()
        if by == "kill_workers":
            until((tmp_path / "told").read_bytes)
            executor.kill_workers()
        expected = nsbox.WorkerDied if by == "kill_workers" else TimeoutError
        assert isinstance(future.exception(timeout=60), expected)
    assert time.monotonic() - began < 60


def test_clocks_of_the_spec_are_every_calls() -> None:
    spec = attrs.evolve(SPEC, time_offsets=nsbox.TimeOffsets(boottime=100_000))
    with BoxExecutor(spec, max_workers=1) as executor:
        assert executor.box_per_call
        for _ in range(2):
            ahead = executor.submit(time.clock_gettime, time.CLOCK_BOOTTIME).result(timeout=60)
            assert 90_000 < ahead - time.clock_gettime(time.CLOCK_BOOTTIME) < 110_000


def grow() -> int:
    kept = [b"x" * (8 << 20) for _ in range(40)]
    return len(kept)


def test_limits_of_the_spec_hold_for_calls_and_end_no_other() -> None:
    if "memory" not in nsbox.subsystems():
        pytest.skip("needs the memory subsystem in a hierarchy")
    spec = attrs.evolve(SPEC, resources=Resources(memory_max="128M"))
    with BoxExecutor(spec, max_workers=1) as executor:
        assert isinstance(executor.submit(grow).exception(timeout=60), nsbox.WorkerDied)
        assert executor.submit(pow, 2, 3).result(timeout=60) == 8


def test_a_call_that_would_end_all_ends_itself_at_most() -> None:
    with BoxExecutor(PRIVILEGED, max_workers=1) as executor:
        for harm in (lambda: os.kill(-1, 9), lambda: os.kill(os.getpid(), 9)):
            error = executor.submit(harm).exception(timeout=60)
            assert isinstance(error, ProcessLookupError | nsbox.WorkerDied)
            assert executor.submit(pow, 2, 3).result(timeout=60) == 8


def test_what_calls_can_write_to_is_not_where_the_zygote_imports_from(tmp_path: Path) -> None:
    """It has the caller's rights: so such calls share a box, whose interpreter has none."""
    (tmp_path / "wanted.py").write_text("import os; uid, groups = os.getuid(), os.listdir('/')\n")
    script = (
        "import sys, nsbox\n"
        "from nsbox import BoxExecutor, BoxSpec, Mount, RootFS\n"
        f"mount = Mount.bind({str(tmp_path)!r}, '/data')\n"
        "spec = BoxSpec(rootfs=RootFS.system(python=True).with_mounts(mount))\n"
        "for one in (spec, BoxSpec(rootfs=RootFS.system(python=True))):\n"
        "    with BoxExecutor(one, max_workers=1) as executor:\n"
        "        print(executor.box_per_call, executor.submit(pow, 2, 3).result())\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "False 8\nTrue 8\n", done.stderr
