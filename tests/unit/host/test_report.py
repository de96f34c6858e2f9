"""All findings together: as a value, as text, and on the host that runs these tests."""

import os
import pickle
import platform
import shutil
from pathlib import Path

import pytest

import nsbox
from nsbox import _native
from nsbox.constants import Capability
from nsbox.host import Finding, Obstacle
from nsbox.host.report import report

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


def test_a_present_day_host_prints_one_row_for_each_question(make_host):
    assert str(report(make_host())).splitlines() == [
        "yes  kernel           Linux 6.8.0-45-generic",
        "yes  namespaces       cgroup, ipc, mnt, net, pid, time, user, uts",
        "yes  user namespaces  allowed",
        "yes  newuidmap        uids 100000-165535; gids 100000-165535",
        "yes  overlay          loaded",
        "yes  cgroups          v2: cpu, memory, pids",
        "yes  seccomp          seccomp",
        "yes  landlock         version 4 of its interface",
        "yes  mount calls      fsopen, open_tree, move_mount, mount_setattr",
        "yes  memfd_exec       programs run from memory",
        "yes  clone3           clone3",
        "yes  close_range      close_range",
    ]


def test_what_is_missing_prints_its_reason_and_its_remedy(make_host):
    found = report(make_host({"/proc/sys/user/max_net_namespaces": "0\n"}))
    assert [finding.name for finding in found.missing] == ["net namespace"]
    lines = str(found).splitlines()
    at = next(i for i, line in enumerate(lines) if "net namespace" in line)
    assert lines[at].startswith("no   net namespace ")
    assert lines[at + 1] == (
        "     reason: the sysctl user.max_net_namespaces is 0: nobody may make one, not even root"
    )
    assert lines[at + 2] == "     remedy: sysctl -w user.max_net_namespaces=10000"
    assert "yes  namespaces       cgroup, ipc, mnt, pid, time, user, uts" in lines


def test_user_namespaces_have_one_row_and_not_two(make_host):
    found = report(make_host({"/proc/sys/user/max_user_namespaces": "0\n"}))
    rows = [line for line in str(found).splitlines() if line.startswith("no ")]
    assert rows == ["no   user namespaces  refused to this caller"]


def test_a_report_is_a_value(make_host):
    found = report(make_host({"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}))
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert hash(again) == hash(found)
    assert str(again) == str(found)


def test_a_finding_is_ok_unless_something_stands_in_the_way():
    assert Finding("a", "b").ok
    finding = Finding("a", "b", Obstacle("reason", "remedy"))
    assert (finding.ok, finding.reason, finding.remedy) == (False, "reason", "remedy")


@pytest.fixture(scope="module")
def here():
    return nsbox.probe()


def test_the_kernel_here_is_the_one_that_runs(here):
    assert here.kernel.release == platform.release()
    assert list(here.kernel.version) == [int(n) for n in platform.release().split(".")[:2]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_namespace_here_are_those_in_proc(here, kind):
    if not os.path.lexists(f"/proc/self/ns/{kind}"):
        assert not here.namespaces[kind].ok
    else:
        limit = Path(f"/proc/sys/user/max_{kind}_namespaces")
        assert here.namespaces[kind].ok is not (limit.exists() and int(limit.read_text()) == 0)


def test_the_cgroups_here_are_those_of_this_process(here):
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    mounted = {line.split(":")[1]: line.split(":", 2)[2] for line in lines}
    for one in here.cgroups.hierarchies:
        if one.version == 2:
            assert one.path == mounted[""]
        elif one.controllers:
            assert one.path == mounted[",".join(one.controllers)]
        if one.directory is not None:
            assert os.path.isdir(one.directory)
            assert os.path.ismount(one.mount_point)
            if one.writable:
                assert os.access(one.directory, os.W_OK)


def test_landlock_and_seccomp_here_are_what_the_kernel_says(here):
    answer = _native.ask("landlock_create_ruleset")
    assert here.landlock_abi == max(0, answer)
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if actions.exists() and Path("/proc/self/status").read_text().count("Seccomp:\t0"):
        assert here.seccomp.ok


def test_overlay_here_is_loaded_if_the_kernel_lists_it(here):
    if "\toverlay\n" in Path("/proc/filesystems").read_text():
        assert here.overlay.detail in ("loaded", "privileged only")


def test_newuidmap_here_is_needed_by_whoever_may_not_map_ids(here):
    both = Capability.CAP_SETUID | Capability.CAP_SETGID
    if _native.capabilities() & both == both:
        assert "not needed" in here.newuidmap.detail
    elif shutil.which("newuidmap") is None:
        assert here.newuidmap.reason == "newuidmap is not on PATH"


def test_looking_reads_only_and_can_be_done_again(here):
    assert nsbox.probe() == here
    assert pickle.loads(pickle.dumps(here)) == here
    assert str(here).startswith(("yes  kernel", "no   kernel"))
