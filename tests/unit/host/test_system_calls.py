"""The kernel, its younger system calls, overlay: what is missing, why, and what helps."""

import errno

import pytest

from nsbox.constants import Capability
from nsbox.host.kernel import kernel
from nsbox.host.overlay import overlay
from nsbox.host.system_calls import (
    clone3,
    close_range,
    landlock,
    memfd_exec,
    mount_api,
    seccomp,
)
from nsbox.system_calls import MOUNT_CALLS, SINCE

QUESTIONS = {
    "seccomp": seccomp,
    "landlock_create_ruleset": landlock,
    "fsopen": mount_api,
    "open_tree": mount_api,
    "move_mount": mount_api,
    "mount_setattr": mount_api,
    "clone3": clone3,
    "close_range": close_range,
}
FILTERED = {"/proc/thread-self/status": "Seccomp:\t2\n"}


def test_every_call_that_is_asked_for_has_an_age():
    assert QUESTIONS.keys() <= SINCE.keys()
    assert QUESTIONS.keys() >= set(MOUNT_CALLS)


@pytest.mark.parametrize("call", QUESTIONS)
def test_a_call_that_answers_is_there(make_host, call):
    assert QUESTIONS[call](make_host()).ok


@pytest.mark.parametrize("call", QUESTIONS)
def test_an_old_kernel_lacks_it(make_host, call):
    host = make_host({"/proc/sys/kernel/osrelease": "3.10.0\n"}, answers={call: -errno.ENOSYS})
    finding = QUESTIONS[call](host)
    assert finding.reason == f"{call} came with Linux {SINCE[call][0]}.{SINCE[call][1]}"
    assert "younger kernel" in finding.remedy


@pytest.mark.parametrize("call", QUESTIONS)
def test_a_young_kernel_was_built_without_it(make_host, call):
    finding = QUESTIONS[call](make_host(answers={call: -errno.ENOSYS}))
    assert finding.reason == f"this kernel was built without {call}"


@pytest.mark.parametrize("call", QUESTIONS)
@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.EPERM], ids=errno.errorcode.get)
def test_a_filter_hides_it(make_host, call, answer):
    finding = QUESTIONS[call](make_host(FILTERED, answers={call: -answer}))
    if answer == errno.EPERM and call in ("fsopen", "move_mount"):
        assert finding.ok, "the call itself asks for privileges first"
    else:
        assert finding.reason == f"a seccomp filter on the caller refuses {call}"
        assert "seccomp" in finding.remedy


def test_landlock_tells_its_version(make_host):
    found = landlock(make_host(answers={"landlock_create_ruleset": 7}))
    assert (found.ok, found.abi, found.detail) == (True, 7, "version 7 of its interface")


def test_landlock_may_be_left_out_at_boot(make_host):
    found = landlock(make_host(answers={"landlock_create_ruleset": -errno.EOPNOTSUPP}))
    assert (found.ok, found.abi) == (False, 0)
    assert "lsm=" in found.remedy


@pytest.mark.parametrize(
    ("value", "ok"), [("0\n", True), ("1\n", True), ("2\n", False), (None, True)]
)
def test_programs_run_from_memory_unless_a_sysctl_forbids_it(make_host, value, ok):
    finding = memfd_exec(make_host({"/proc/sys/vm/memfd_noexec": value}))
    assert finding.ok is ok
    assert finding.remedy in (None, "sysctl -w vm.memfd_noexec=1")


@pytest.mark.parametrize(
    ("release", "ok"),
    [("5.10.0-21-amd64\n", True), ("6.8.0\n", True), ("5.4.0\n", False), ("3.10.0\n", False)],
)
def test_a_kernel_is_young_enough_from_5_10_on(make_host, release, ok):
    found = kernel(make_host({"/proc/sys/kernel/osrelease": release}))
    assert found.ok is ok
    assert found.detail == f"Linux {release.strip()}"


def test_a_kernel_that_does_not_tell_is_unknown(make_host):
    found = kernel(make_host({"/proc/sys/kernel/osrelease": None}))
    assert (found.ok, found.version, found.detail) == (False, (0, 0), "Linux unknown")


MODULES = "/lib/modules/6.8.0-45-generic"
WITHOUT = {"/proc/filesystems": "nodev\tproc\n"}


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({}, "loaded"),
        (
            {**WITHOUT, f"{MODULES}/modules.dep": "kernel/fs/overlayfs/overlay.ko.zst:\n"},
            "a module that loads when first mounted",
        ),
        (
            {**WITHOUT, f"{MODULES}/modules.builtin": "kernel/fs/overlayfs/overlay.ko\n"},
            "a module that loads when first mounted",
        ),
    ],
)
def test_overlay_is_loaded_or_loads(make_host, files, detail):
    finding = overlay(make_host(files))
    assert (finding.ok, finding.detail) == (True, detail)


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (WITHOUT, "modprobe overlay"),
        (
            {
                **WITHOUT,
                f"{MODULES}/modules.dep": "kernel/fs/overlayfs/overlay.ko:\n",
                "/proc/sys/kernel/modules_disabled": "1\n",
            },
            "load it while booting",
        ),
        ({"/proc/sys/kernel/osrelease": "5.10.0\n"}, "younger kernel"),
    ],
)
def test_overlay_may_be_missing(make_host, files, remedy):
    finding = overlay(make_host(files))
    assert not finding.ok
    assert remedy in finding.remedy


def test_overlay_on_an_old_kernel_takes_privileges(make_host):
    host = make_host(
        {"/proc/sys/kernel/osrelease": "5.10.0\n"}, capabilities=Capability.CAP_SYS_ADMIN
    )
    assert overlay(host).ok
