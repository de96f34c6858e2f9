"""Which namespaces a caller may have, and what blocks a user namespace, on hosts of each sort."""

import pytest

from nsbox.constants import Capability
from nsbox.host.namespaces import KERNEL_OPTIONS, namespaces, user_namespaces

ADMIN = Capability.CAP_SYS_ADMIN
UNCONFINED = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
    "/proc/thread-self/attr/current": "unconfined\n",
}
DEBIAN = {"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}


def test_a_present_day_host_has_every_kind(make_host):
    found = namespaces(make_host())
    assert set(found) == set(KERNEL_OPTIONS)
    assert all(finding.ok for finding in found.values())
    assert found["net"].detail == "up to 31335 per user"


@pytest.mark.parametrize("kind", KERNEL_OPTIONS)
def test_a_kind_that_the_kernel_lacks_is_named_with_its_option(make_host, kind):
    finding = namespaces(make_host({f"/proc/self/ns/{kind}": None}))[kind]
    assert not finding.ok
    assert KERNEL_OPTIONS[kind] in finding.reason
    assert finding.remedy == f"boot a kernel with {KERNEL_OPTIONS[kind]}=y"


@pytest.mark.parametrize("kind", KERNEL_OPTIONS)
def test_a_kind_that_nobody_may_make_is_named_with_its_sysctl(make_host, kind):
    found = namespaces(make_host({f"/proc/sys/user/max_{kind}_namespaces": "0\n"}))
    assert [name for name, finding in found.items() if not finding.ok] == [kind]
    assert found[kind].remedy == f"sysctl -w user.max_{kind}_namespaces=10000"


def test_a_kind_without_a_known_limit_is_allowed(make_host):
    finding = namespaces(make_host({"/proc/sys/user/max_time_namespaces": None}))["time"]
    assert (finding.ok, finding.detail) == (True, "no limit known")


def test_user_namespaces_are_allowed_where_nothing_blocks_them(make_host):
    finding = user_namespaces(make_host())
    assert (finding.ok, finding.detail) == (True, "allowed")


@pytest.mark.parametrize(
    ("files", "reason", "remedy"),
    [
        ({"/proc/self/ns/user": None}, "CONFIG_USER_NS", "CONFIG_USER_NS=y"),
        (
            {"/proc/sys/user/max_user_namespaces": "0\n"},
            "user.max_user_namespaces is 0",
            "sysctl -w user.max_user_namespaces=10000",
        ),
        (
            DEBIAN,
            "kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (UNCONFINED, "AppArmor", "apparmor_restrict_unprivileged_userns=0"),
        (
            {"/proc/self/mountinfo": "33 29 0:28 / /sys rw - sysfs sysfs rw\n"},
            "chroot",
            "pivot_root(2)",
        ),
    ],
)
def test_what_blocks_user_namespaces_is_named_with_its_remedy(make_host, files, reason, remedy):
    finding = user_namespaces(make_host(files))
    assert not finding.ok
    assert reason in finding.reason
    assert remedy in finding.remedy


def test_apparmor_does_not_restrict_who_is_privileged(make_host):
    finding = user_namespaces(make_host(UNCONFINED, capabilities=ADMIN))
    assert finding.ok
    assert "not needed with CAP_SYS_ADMIN" in finding.detail


def test_a_profile_of_apparmor_decides_for_its_program(make_host):
    profile = {"/proc/thread-self/attr/apparmor/current": "firefox (enforce)\n"}
    finding = user_namespaces(make_host({**UNCONFINED, **profile}))
    assert finding.ok
    assert "'firefox (enforce)' decides" in finding.detail


def test_apparmor_that_restricts_nothing_is_no_obstacle(make_host):
    sysctl = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    assert user_namespaces(make_host({**UNCONFINED, sysctl: "0\n"})).ok


@pytest.mark.parametrize(("inode", "ok"), [(4026531837, True), (4026532000, False)])
def test_debians_switch_spares_root_of_the_first_user_namespace_only(make_host, inode, ok):
    host = make_host({**DEBIAN, "/proc/self/ns/user": None}, capabilities=ADMIN)
    host.path("/proc/self/ns/user").symlink_to(f"user:[{inode}]")
    assert user_namespaces(host).ok is ok


def test_a_seccomp_filter_is_mentioned_and_does_not_decide(make_host):
    finding = user_namespaces(make_host({"/proc/thread-self/status": "Seccomp:\t2\n"}))
    assert finding.ok
    assert "seccomp" in finding.detail
