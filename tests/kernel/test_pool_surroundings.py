"""What happens to boxes made ahead when the world around them changes, or their owner goes."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec, Cgroup, Choice, Mount, Namespace, NamespaceType, Pool, Resources, RootFS
from nsbox.constants import Capability

both_kinds = pytest.mark.parametrize("stays", [False, True], ids=["commands", "stays"])


def pids(pool: Pool) -> list[int]:
    """Tell the boxes that wait, by their first processes."""
    assert pool.fill(60)
    return [each.box.pid if pool.stays else each.launched.pid for each in pool._stock.ready]  # type: ignore[union-attr]


def used(pool: Pool, args: Any = ("true",)) -> tuple[int, str]:
    """Have a command run in a box of the pool's; tell the box by its first process."""
    if pool.stays:
        with pool.start() as box:
            done = box.run(args, capture_output=True, text=True, check=True)
            return box.pid, done.stdout
    with pool.popen(args, stdout=nsbox.PIPE, text=True) as process:
        return process.pid, process.communicate()[0]


@both_kinds
def test_as_long_as_nothing_has_changed_they_are_used(stays: bool) -> None:
    for spec in (BoxSpec(), BoxSpec(rootfs=RootFS.system(python=True))):
        with Pool(spec, size=2, stays=stays) as pool:
            waiting = pids(pool)
            assert used(pool)[0] in waiting


@both_kinds
def test_a_box_is_not_used_once_its_sources_have_changed(stays: bool, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.write_text("old")
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(Mount.bind(shown, "/tmp/shown")))
    with Pool(spec, size=1, stays=stays) as pool:
        assert pool.fill(60)
        shown.unlink()
        with pytest.raises(FileNotFoundError):
            used(pool, ["cat", "/tmp/shown"])
        shown.write_text("new")
        assert used(pool, ["cat", "/tmp/shown"])[1] == "new"


@both_kinds
def test_a_folder_that_was_replaced_is_shown_anew(stays: bool, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(Mount.bind(shown, "/tmp/shown")))
    with Pool(spec, size=1, stays=stays) as pool:
        assert pool.fill(60)
        shown.rmdir()
        shown.mkdir()
        (shown / "new").touch()
        assert used(pool, ["ls", "/tmp/shown"])[1] == "new\n"


@both_kinds
def test_none_of_those_that_wait_is_used_once_a_mount_has_changed(stays: bool, root: None) -> None:
    def change() -> list[str]:
        with Pool(size=4, stays=stays) as pool:
            assert pool.fill(60)
            subprocess.run(["mount", "-t", "tmpfs", "none", "/usr/local"], check=True)
            Path("/usr/local/new").touch()
            return [used(pool, ["ls", "/usr/local"])[1] for _ in range(5)]

    with Namespace.create(NamespaceType.MNT) as elsewhere:
        assert elsewhere.call(change) == ["new\n"] * 5


@both_kinds
@pytest.mark.parametrize("python", [False, True], ids=["system", "with python"])
def test_none_is_used_once_etc_has_changed(
    stays: bool, python: bool, root: None, tmp_path: Path
) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\n")

    def change() -> tuple[bool, str]:
        subprocess.run(["mount", "--bind", tmp_path, "/etc"], check=True)
        with Pool(BoxSpec(rootfs=RootFS.system(python=python)), size=1, stays=stays) as pool:
            waiting = pids(pool)
            Path("/etc/hosts").write_text("127.0.0.1 new\n")
            pid, shown = used(pool, ["cat", "/etc/hosts"])
            return pid in waiting, shown

    with Namespace.create(NamespaceType.MNT) as elsewhere:
        assert elsewhere.call(change) == (False, "127.0.0.1 new\n")


@both_kinds
@pytest.mark.parametrize("python", [False, True], ids=["system", "with python"])
def test_a_thread_with_other_rights_gets_none_of_those_that_wait(
    stays: bool, python: bool, root: None
) -> None:
    with Pool(BoxSpec(rootfs=RootFS.system(python=python)), size=2, stays=stays) as pool:
        waiting, found = pids(pool), []

        def run() -> None:
            give_up(Capability.CAP_LEASE)
            found.append(used(pool)[0])

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert len(found) == 1
        assert found[0] not in waiting


@pytest.mark.parametrize("pid", [Choice.NEW, Choice.HOST], ids=["its own pids", "the host's pids"])
@pytest.mark.parametrize("user", [0, 65534])
def test_one_that_is_refused_keeps_none_of_the_callers_descriptors(
    pid: Choice, user: int, root: None
) -> None:
    """It has got them already, while its owner looked."""
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.PID: pid}, user=user)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        with Pool(spec, size=1) as pool:
            waiting = pids(pool)

            def run() -> None:
                give_up(Capability.CAP_LEASE)
                assert used(pool)[0] not in waiting
                pool.run(["true"], stdout=writing)

            assert pool.fill(60)
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            os.close(writing)
            assert select.select([reading], [], [], 60)[0]
            assert os.read(reading, 1) == b""
    finally:
        os.close(reading)


def give_up(capability: int) -> None:
    """Drop an effective capability of the calling thread's alone. See capset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    low = capability & 0xFFFFFFFF
    assert data[0] & low
    data[0] &= ~low
    assert libc.capset(header, data) == 0


@both_kinds
def test_a_namespace_is_joined_that_its_path_leads_to_by_then(
    stays: bool, root: None, tmp_path: Path
) -> None:
    path, next_one = tmp_path / "net", tmp_path / "next"
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.NET: str(path)})
    look = ["readlink", "/proc/self/ns/net"]
    with Namespace.create(NamespaceType.NET) as old, Namespace.create(NamespaceType.NET) as new:
        path.symlink_to(f"/proc/{os.getpid()}/fd/{old.fileno()}")
        next_one.symlink_to(f"/proc/{os.getpid()}/fd/{new.fileno()}")
        with Pool(spec, size=1, stays=stays) as pool:
            waiting = pids(pool)
            pid, joined = used(pool, look)
            assert pid in waiting
            pids(pool)
            next_one.rename(path)
            assert used(pool, look)[1] != joined
            pids(pool)
            next_one.symlink_to(f"/proc/{os.getpid()}/fd/{old.fileno()}")
            next_one.rename(path)
            if not stays:  # with nothing to do for it meanwhile, but a namespace to be opened
                pool.run(["true"], check=True)


@both_kinds
def test_one_that_was_killed_while_it_waited_is_passed_over(stays: bool) -> None:
    with Pool(size=2, stays=stays) as pool:
        for pid in pids(pool):
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert used(pool, ["echo", "x"])[1] == "x\n"
        assert used(pool, ["echo", "x"])[1] == "x\n"


@both_kinds
def test_where_none_is_ready_the_box_is_made_on_demand(stays: bool) -> None:
    with Pool(size=1, stays=stays) as pool:
        (waiting,) = pids(pool)
        several = [used(pool, ["echo", str(number)]) for number in range(5)]
        assert [shown for _, shown in several] == [f"{number}\n" for number in range(5)]
        assert several[0][0] == waiting
        assert len({pid for pid, _ in several}) == 5


@both_kinds
def test_after_its_end_a_pool_makes_all_on_demand(stays: bool) -> None:
    pool = Pool(size=1, stays=stays)
    waiting = pids(pool)
    pool.close()
    pool.close()
    assert pool.ready == 0
    assert not any(map(alive, waiting))
    assert used(pool, ["echo", "x"])[1] == "x\n"


@both_kinds
def test_a_fork_makes_its_own(stays: bool) -> None:
    with Pool(size=1, stays=stays) as pool:
        waiting = pids(pool)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                own, shown = used(pool, ["echo", "x"])
                pool.close()
                status = 0 if own not in waiting and shown == "x\n" else 2
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert used(pool)[0] in waiting


OWNER = """
import nsbox, os, sys
pool = nsbox.Pool(size=3, stays={stays})
assert pool.fill(60)
print(*(box.box.pid if {stays} else box.launched.pid for box in pool._stock.ready), flush=True)
if {forks} and os.fork() == 0:
    sys.stdout.close()
    os.close(1)
    import time; time.sleep(1000)
sys.stdin.read()
"""


@pytest.fixture
def owners() -> Iterator[Any]:
    """Start processes that own a pool, each in a group of its own that ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(**parameters: Any) -> tuple[subprocess.Popen[str], list[int]]:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER.format(**parameters)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(owner)
        assert owner.stdout is not None
        return owner, [int(pid) for pid in owner.stdout.readline().split()]

    yield start
    for owner in started:
        os.killpg(owner.pid, signal.SIGKILL)  # it is there until it has been waited for
        with owner:
            pass
    nsbox.reap()


@both_kinds
@pytest.mark.parametrize("end", ["close", "kill", "kill, and a fork of it lives on"])
def test_those_that_wait_end_with_their_owner(owners: Any, end: str, stays: bool) -> None:
    owner, waiting = owners(stays=stays, forks="fork" in end)
    assert len(waiting) == 3
    assert all(map(alive, waiting))
    if end == "close":
        owner.stdin.close()
    else:
        owner.kill()
    deadline = time.monotonic() + 60
    while any(map(alive, waiting)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(alive, waiting))


def alive(pid: int) -> bool:
    """Whether it runs: who is to wait for what has ended is another question."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_that_was_frozen_while_it_waited_ends_with_its_pool(root: None) -> None:
    limits = BoxSpec(resources=Resources(pids_max=20))
    with Cgroup.create(f"nsbox-{os.getpid()}-pool-frozen", subsystems=["pids", "freezer"]) as group:
        with Pool(limits, size=1, cgroup=group) as pool:
            assert pool.fill(60)
            (boxes,) = group.children
            boxes.freeze()
            pidfd = os.pidfd_open(pool._stock.ready[0].launched.pid)
        assert select.select([pidfd], [], [], 0)[0], "it has outlived its pool"
        os.close(pidfd)
