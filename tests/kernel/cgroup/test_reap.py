"""What the dead left is removed, and what the living have is not."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from groups import groups_named

import nsbox
from nsbox.cgroup import owner

OWNER = """
import os, subprocess, sys, time
from nsbox import Cgroup
name = f"nsbox-{os.getppid()}-orphan"
group = Cgroup.create(name, subsystems={"pids", "memory"})
child = group.child("deep")
process = subprocess.Popen(["sleep", "1000"])
child.attach(process.pid)
print(process.pid, *group.directories.values(), flush=True)
time.sleep(1000)
"""

BUSY = """
import os, sys
from nsbox import Cgroup, Resources

pytestmark = pytest.mark.cgroups
name = f"nsbox-{os.getppid()}-busy"
print(flush=True)
while True:
    with Cgroup.create(name, Resources(pids_max=10), subsystems={"memory"}) as group:
        group.child("a")
"""


def run(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.guest
def test_groups_of_a_dead_owner_go_with_what_is_in_them(lab):
    with run(OWNER) as process:
        assert process.stdout is not None
        pid, *folders = process.stdout.readline().split()
        try:
            assert folders
            assert not set(nsbox.reap()) & set(folders)  # it lives
            assert all(os.path.isdir(folder) for folder in folders)
        finally:
            end(process)
    assert os.path.exists(f"/proc/{pid}")
    removed = nsbox.reap()
    assert set(folders) <= set(removed)
    assert not groups_named(f"nsbox-{os.getpid()}-orphan")
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # whoever takes orphans has to wait for it
    assert not Path(f"/proc/{pid}").exists()
    assert lab.exists  # ours, and we live


def test_an_owner_killed_at_any_moment_leaves_nothing_that_is_not_reaped(lab):
    choice = random.Random(7)
    for _ in range(6):
        with run(BUSY) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(choice.uniform(0, 0.05))
            end(process)
        nsbox.reap()
        assert not groups_named(f"nsbox-{os.getpid()}-busy")


def test_a_group_killed_between_its_making_and_its_mark_is_known_by_the_claim(lab, monkeypatch):
    folder = next(iter(lab.directories.values()))
    with run("import sys; print(flush=True); sys.stdin.read()") as process:
        dead = owner.Owner(process.pid, 1, 0)  # that pid, at another time
        assert dead.dead is (owner._namespace() == 0)
        end(process)
    os.mkdir(folder / "half")
    if owner._namespace() != 0 or not marks_work(folder):
        os.rmdir(folder / "half")
        pytest.skip("needs the first pid namespace, and extended attributes on cgroups (Linux 5.7)")
    os.setxattr(folder, f"{owner.CLAIM}{dead.pid}-1.0", b"half")
    assert str(folder / "half") in nsbox.reap()
    assert not any(name.startswith(owner.CLAIM) for name in os.listxattr(folder))


def test_a_name_like_that_of_a_dead_owners_box_does_not_outweigh_the_mark(lab):
    if not marks_work(next(iter(lab.directories.values()))):
        pytest.skip("needs extended attributes on cgroups (Linux 5.7)")
    web = lab.child(f"nsbox-{os.getpid()}-0-1")  # as of a box of this pid's, at another time
    assert not set(nsbox.reap()) & set(map(str, web.directories.values()))
    assert web.exists


JUDGE = """
import os, sys
sys.path[:] = {path!r}
from nsbox.cgroup import owner
{before}
print(*(owner.Owner.parse(mark or owner.owner()).dead for mark in {marks!r}))
"""


def judged(command: str, *marks: str, before: str = "") -> str:
    """Ask a process elsewhere which owners are dead; "" is itself."""
    code = JUDGE.format(path=sys.path, marks=marks, before=before)
    argv = [*shlex.split(command), sys.executable, "-c", code]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_an_owner_lives_for_a_reader_with_another_boot_time(root):
    if not os.path.exists("/proc/self/ns/time"):
        pytest.skip("needs time namespaces (Linux 5.6)")
    _, began = owner.owner().partition("@")[0].split("-")
    other = owner.owner().replace(began, str(int(began) - 500))
    elsewhere = "unshare --time --boottime 100000 --fork"
    assert judged(elsewhere, owner.owner(), other, "") == "False True False"


def test_nobody_is_judged_by_a_proc_of_another_pid_namespace(root):
    # There the owner is 1, and what the outer /proc shows as 1 is another process.
    assert judged("unshare --pid --fork", "") == "False"


@pytest.mark.parametrize("hidepid", [1, 2])
def test_an_owner_that_proc_hides_lives_until_no_signal_finds_it(hidepid, root):
    mounting = f'mount -t proc -o hidepid={hidepid} proc /proc && exec "$@"'
    nobody = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    gone = owner.owner().replace(f"{os.getpid()}-", "4190000-")
    command = f"unshare --mount sh -c {shlex.quote(mounting)} sh"
    assert judged(command, owner.owner(), gone, before=nobody) == "False True"


def test_groups_of_one_name_are_reaped_all(lab):
    folder = next(iter(lab.directories.values()))
    if not marks_work(folder):
        pytest.skip("needs extended attributes on cgroups (Linux 5.7)")
    _, began = owner.owner().partition("@")[0].split("-")
    dead = owner.owner().replace(began, str(int(began) - 500))
    groups = [folder / above / "web" for above in ("a", "b")]
    for group in groups:
        group.mkdir(parents=True)
        os.setxattr(group, owner.ATTRIBUTE, dead.encode())
    with run("import sys, time; print(flush=True); time.sleep(1000)") as process:
        assert process.stdout is not None
        process.stdout.readline()
        (groups[0] / "cgroup.procs").write_text(str(process.pid))
        try:
            assert set(map(str, groups)) <= set(nsbox.reap())
            assert process.wait(60) == -signal.SIGKILL
        finally:
            process.kill()


def marks_work(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.nsbox.test", b"1")
    except OSError:
        return False
    os.removexattr(folder, "user.nsbox.test")
    return True


@pytest.mark.guest
def test_marks():
    mine = owner.Owner.parse(owner.owner())
    assert mine is not None
    assert mine.pid == os.getpid()
    assert not mine.dead
    assert mine._replace(starttime=mine.starttime + 2).dead
    assert not mine._replace(pid=4_000_000, namespace=5).dead  # of another pid namespace: unknown
    assert owner.Owner.parse("12-34@56") == (12, 34, 56)
    for text in ("", "12", "12-", "a-b", "12-34@", "12-34-56"):
        assert owner.Owner.parse(text) is None
    assert owner.owner_of(f"/x/nsbox-{owner.owner()}-00000001") == mine
    assert owner.owner_of("/x/nsbox-lab") is None
