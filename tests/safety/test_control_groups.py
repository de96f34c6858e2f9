"""Cgroup trees can be looked at from a box, and not be written to."""

import pytest

import nsbox
from nsbox import BoxSpec, Choice, Mount, NamespaceType, Resources, RootFS, Security

LOOK = r"""
import os
opened, made, found = [], [], 0
for folder, names, files in os.walk("/cg"):
    try:
        os.mkdir(folder + "/escape")
        made.append(folder)
        os.rmdir(folder + "/escape")
    except OSError:
        pass
    for name in files:
        found += name in ("cgroup.procs", "tasks", "notify_on_release", "release_agent")
        try:  # opened, and nothing written: that is for the one who succeeds to fear
            os.close(os.open(f"{folder}/{name}", os.O_WRONLY))
            opened.append(f"{folder}/{name}")
        except OSError:
            pass
print(found > 0, opened, made)
"""


@pytest.mark.parametrize("user", [False, True], ids=["host", "user"])
def test_no_file_and_no_folder_of_a_cgroup_tree_can_be_written_to(user: bool) -> None:
    more = {NamespaceType.USER: Choice.NEW} if user else {}
    rootfs = RootFS.system().with_mounts(Mount.cgroup("/cg"))
    writable = nsbox.probe().cgroups.writable
    for limits in (Resources(), *((Resources(pids_max=50),) if writable else ())):
        spec = BoxSpec(rootfs=rootfs, namespaces=nsbox.ISOLATED | more, resources=limits)
        done = nsbox.run(["/usr/bin/python3", "-c", LOOK], spec, capture_output=True, text=True)
        assert done.stdout == "True [] []\n", done.stderr


ESCAPES = [
    "unshare -Urm true",
    "unshare -UrmC true",
    "unshare -m true",
    "mount -t cgroup -o memory none /tmp",
    "mount -t cgroup2 none /tmp",
    "mount -o remount,rw /cg",
    "umount /cg",
]


@pytest.mark.parametrize("security", [Security(), Security(seccomp=None)], ids=["all", "no-filter"])
@pytest.mark.parametrize("script", ESCAPES)
def test_no_right_to_mount_one_is_to_be_had(script: str, security: Security) -> None:
    """By the missing right alone as well; but for a new user namespace, which a filter refuses."""
    if security.seccomp is None and "U" in script:
        pytest.skip("a user namespace can be made by anybody whom no filter keeps from it")
    rootfs = RootFS.system().with_mounts(Mount.cgroup("/cg"))
    spec = BoxSpec(rootfs=rootfs, security=security)
    done = nsbox.run(["sh", "-c", script], spec, stderr=nsbox.DEVNULL)
    assert done.returncode not in (0, 126, 127)  # refused, and not for want of the program
