"""The parsers on the kernel that runs these tests: what they say is what the system calls say."""

import os
import threading
from pathlib import Path

import pytest

from nsbox import procfs

PROC = Path("/proc/self")


def text(path):
    return procfs.decode(Path(path).read_bytes())


def test_this_process_status_agrees_with_the_system_calls():
    status = procfs.Status.of(procfs.parse_status(text(PROC / "status")))
    assert status.uids[:3] == os.getresuid()
    assert status.gids[:3] == os.getresgid()
    assert sorted(status.groups) == sorted(os.getgroups())
    assert status.threads == len(os.listdir(PROC / "task"))
    assert status.nspid[0] == os.getpid()
    assert status.effective & ~status.permitted == 0


def test_this_process_stat_agrees_with_the_system_calls():
    stat = procfs.parse_stat(text(PROC / "stat"))
    assert (stat.pid, stat.ppid) == (os.getpid(), os.getppid())
    assert (stat.pgrp, stat.session) == (os.getpgrp(), os.getsid(0))
    assert 0 < stat.starttime < os.sysconf("SC_CLK_TCK") * float(text("/proc/uptime").split()[0])
    assert stat.comm == text(PROC / "comm").removesuffix("\n")


@pytest.mark.parametrize("comm", ["a) R 1 (b", "new\nline", "\x0c ) "])
def test_a_thread_can_call_itself_what_it_likes(comm):
    read = {}

    def look():
        Path("/proc/thread-self/comm").write_text(comm)
        read["stat"] = procfs.parse_stat(text("/proc/thread-self/stat"))
        read["status"] = procfs.parse_status(text("/proc/thread-self/status"))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert read["stat"].comm == comm
    assert read["status"]["Name"] == comm.replace("\n", "\\n")


def test_the_mounts_here_are_those_that_the_system_calls_see():
    mounts = procfs.parse_mountinfo(text(PROC / "mountinfo"))
    assert len({mount.mount_id for mount in mounts}) == len(mounts)
    (proc, *_) = [mount for mount in mounts if mount.mount_point == "/proc"][::-1]
    assert proc.fs_type == "proc"
    device = os.stat("/proc").st_dev
    assert proc.device == (os.major(device), os.minor(device))


def test_the_file_systems_here_include_those_that_are_mounted():
    known = procfs.parse_filesystems(text("/proc/filesystems"))
    mounted = {mount.fs_type for mount in procfs.parse_mountinfo(text(PROC / "mountinfo"))}
    # A subtype stands behind a dot: fuse.sshfs is a file system of the type fuse.
    assert {name.partition(".")[0] for name in mounted} <= known


def test_the_groups_here_are_of_the_controllers_that_the_kernel_lists():
    controllers = procfs.parse_controllers(text("/proc/cgroups"))
    bound = {one.name: one.hierarchy_id for one in controllers if one.hierarchy_id}
    for membership in procfs.parse_cgroup(text(PROC / "cgroup")):
        for controller in membership.controllers:
            assert bound[controller] == membership.hierarchy_id


@pytest.mark.parametrize(
    ("file", "own"), [("uid_map", os.geteuid), ("gid_map", os.getegid)], ids=["uid", "gid"]
)
def test_this_process_ids_are_mapped_in_its_user_namespace(file, own):
    lines = procfs.parse_id_map(text(PROC / file))
    assert any(line.inside <= own() < line.inside + line.count for line in lines)


@pytest.mark.parametrize("file", ["/etc/subuid", "/etc/subgid"])
def test_the_ranges_of_this_system_are_read(file):
    if not os.path.exists(file):
        pytest.skip(f"this system has no {file}")
    for one in procfs.parse_subid(text(file)):
        assert one.count >= 0


def test_every_process_that_can_be_seen_is_read():
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat, status = text(folder / "stat"), text(folder / "status")
            mounts, groups = text(folder / "mountinfo"), text(folder / "cgroup")
        except OSError:
            continue  # it has ended, or is not ours to look at
        assert procfs.parse_stat(stat).pid == int(folder.name)
        assert procfs.Status.of(procfs.parse_status(status)).threads >= 1
        procfs.parse_mountinfo(mounts)
        procfs.parse_cgroup(groups)
