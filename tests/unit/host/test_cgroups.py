"""How cgroups are laid out, and whether the caller may make groups: on hosts of each sort."""

import pytest

from nsbox.host.cgroups import cgroups

ROOT = "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
V2 = "33 29 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = "".join(
    f"{40 + n} 29 0:{30 + n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for n, name in enumerate(("memory", "cpu,cpuacct", "pids", "name=systemd"))
)
V1_GROUPS = "4:pids:/me\n3:cpu,cpuacct:/me\n2:memory:/me\n1:name=systemd:/me\n"
V1 = {
    "/proc/self/mountinfo": ROOT + V1_MOUNTS,
    "/proc/thread-self/cgroup": V1_GROUPS,
    "/sys/fs/cgroup/memory/me/tasks": "",
    "/sys/fs/cgroup/cpu,cpuacct/me/tasks": "",
    "/sys/fs/cgroup/pids/me/tasks": "",
    "/sys/fs/cgroup/name=systemd/me/tasks": "",
}
HYBRID = {
    **V1,
    "/proc/self/mountinfo": ROOT
    + V1_MOUNTS
    + "60 29 0:50 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    "/proc/thread-self/cgroup": V1_GROUPS + "0::/me\n",
    "/sys/fs/cgroup/unified/me/cgroup.controllers": "\n",
}


def test_v2_is_recognised_with_what_the_caller_can_hand_down(make_host):
    found = cgroups(make_host())
    assert (found.ok, found.layout, found.writable) == (True, "v2", True)
    (one,) = found.hierarchies
    assert (one.version, one.controllers) == (2, ("cpu", "memory", "pids"))
    assert one.directory == "/sys/fs/cgroup/user.slice/app.scope"
    assert found.detail == "v2: cpu, memory, pids"


def test_v1_is_recognised_with_one_hierarchy_for_each_mount(make_host):
    found = cgroups(make_host(V1))
    assert (found.ok, found.layout, found.writable) == (True, "v1", True)
    homes = {one.controllers or one.name: one.directory for one in found.hierarchies}
    assert homes == {
        ("pids",): "/sys/fs/cgroup/pids/me",
        ("cpu", "cpuacct"): "/sys/fs/cgroup/cpu,cpuacct/me",
        ("memory",): "/sys/fs/cgroup/memory/me",
        "systemd": "/sys/fs/cgroup/name=systemd/me",
    }


def test_hybrid_is_recognised_where_v2_has_no_controllers(make_host):
    found = cgroups(make_host(HYBRID))
    assert (found.ok, found.layout) == (True, "hybrid")
    assert {one.version for one in found.hierarchies} == {1, 2}


@pytest.mark.parametrize(
    "mounts", [ROOT, ROOT + "50 29 0:40 / /x rw - cgroup cgroup rw,name=systemd\n"]
)
def test_none_is_recognised_where_no_controller_is_mounted(make_host, mounts):
    files = {"/proc/self/mountinfo": mounts, "/proc/thread-self/cgroup": "1:name=systemd:/\n0::/\n"}
    found = cgroups(make_host(files))
    assert (found.ok, found.layout, found.writable) == (False, "none", False)
    assert "mount -t cgroup2" in found.remedy


def test_a_container_without_a_cgroup_namespace_cannot_see_its_own_group(make_host):
    found = cgroups(make_host({"/proc/thread-self/cgroup": "0::/docker/0123abcd\n"}))
    assert not found.ok
    assert "/docker/0123abcd is not to be seen" in found.reason
    assert "--cgroupns=private" in found.remedy


def test_a_container_that_shows_its_own_group_at_the_mount_is_understood(make_host):
    """The mount's root is the container's group in the host's tree, and the task's path too."""
    files = {
        "/proc/self/mountinfo": ROOT
        + "33 29 0:28 /docker/01 /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
        "/proc/thread-self/cgroup": "0::/docker/01/inner\n",
        "/sys/fs/cgroup/inner/cgroup.controllers": "cpu memory pids\n",
    }
    (one,) = cgroups(make_host(files)).hierarchies
    assert one.directory == "/sys/fs/cgroup/inner"


def test_a_tree_that_is_mounted_read_only_is_said_to_be(make_host):
    files = {"/proc/self/mountinfo": ROOT + V2.replace("rw,nosuid", "ro,nosuid")}
    found = cgroups(make_host(files, may_write=lambda _: False))
    assert not found.ok
    assert found.reason == "/sys/fs/cgroup is mounted read only"
    assert found.hierarchies[0].read_only


@pytest.mark.parametrize(
    ("files", "uid", "remedy"),
    [
        ({}, 1000, "as root: make a group, chown it"),
        ({"/run/systemd/system/x": ""}, 1000, "systemd-run --user --scope -p Delegate=yes PROGRAM"),
        ({"/run/systemd/system/x": ""}, 0, "systemd-run --scope -p Delegate=yes PROGRAM"),
        (V1, 1000, "cgcreate -a me -t me -g memory,cpu,pids:nsbox"),
    ],
)
def test_a_group_of_somebody_else_is_no_place_for_groups(make_host, files, uid, remedy):
    found = cgroups(make_host(files, uid=uid, may_write=lambda _: False))
    assert (found.ok, found.writable) == (False, False)
    assert "may not make groups in /sys/fs/cgroup/" in found.reason
    assert remedy in found.remedy


@pytest.mark.parametrize("closed", ["cgroup.procs", "cgroup.subtree_control", "app.scope"])
def test_v2_delegation_takes_the_folder_and_both_files(make_host, closed):
    found = cgroups(make_host(may_write=lambda path: path.name != closed))
    assert not found.writable


def test_v1_takes_the_folder_only(make_host):
    found = cgroups(make_host(V1, may_write=lambda path: path.name == "me"))
    assert found.writable


def test_a_group_that_was_given_no_controllers_is_told_which_it_lacks(make_host):
    files = {"/sys/fs/cgroup/user.slice/app.scope/cgroup.controllers": "pids\n"}
    found = cgroups(make_host(files))
    assert found.reason == "the caller's own group is without memory, cpu"


def test_a_controller_that_is_not_mounted_is_named(make_host):
    mounts = "".join(line for line in V1_MOUNTS.splitlines(True) if "pids" not in line)
    found = cgroups(make_host({**V1, "/proc/self/mountinfo": ROOT + mounts}))
    assert found.reason == "no mounted hierarchy has pids"
    assert "/proc/cgroups" in found.remedy


def test_of_several_mounts_of_a_hierarchy_one_that_can_be_used_is_taken(make_host):
    closed = "34 29 0:28 / /closed ro - cgroup2 cgroup2 ro\n"
    for mounts in (closed + V2, V2 + closed):
        (one,) = cgroups(make_host({"/proc/self/mountinfo": ROOT + mounts})).hierarchies
        assert one.mount_point == "/sys/fs/cgroup"
