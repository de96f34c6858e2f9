"""The sources of facts: what is missing, unreadable or odd is unknown, and never an exception."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsbox.constants import Capability
from nsbox.host.host import Host
from nsbox.host.report import report
from nsbox.procfs import parse_status


def test_a_file_is_read_below_the_root(make_host):
    host = make_host({"/etc/name": "value\n"})
    assert host.read("/etc/name") == "value\n"
    assert host.has("/etc/name")
    assert host.read("/etc/other") is None
    assert not host.has("/etc/other")


def test_a_link_that_leads_nowhere_is_there_but_unread(make_host):
    host = make_host()
    host.path("/etc/link").symlink_to("/no/such/file")
    assert host.has("/etc/link")
    assert host.read("/etc/link") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1\n", 1),
        ("0", 0),
        ("-1\n", -1),
        ("", None),
        ("1 2\n", None),
        ("one\n", None),
        ("1_0\n", None),
        ("\u0661\n", None),
        ("9" * 5000, None),
    ],
)
def test_a_sysctl_is_a_number_or_unknown(make_host, text, number):
    host = make_host({"/proc/sys/kernel/some/thing": text})
    assert host.sysctl("kernel.some.thing") == number
    assert host.sysctl("kernel.no.such") is None


def test_what_a_parser_refuses_is_unknown(make_host):
    host = make_host({"/proc/odd": "no key\n"})
    assert host.parse("/proc/odd", parse_status) is None
    assert host.parse("/proc/none", parse_status) is None


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.8.0-45-generic\n", (6, 8)),
        ("5.10\n", (5, 10)),
        ("4.4.0-gvisor", (4, 4)),
        ("odd\n", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_of_the_kernel_is_read_out_of_its_release(make_host, release, version):
    host = make_host({"/proc/sys/kernel/osrelease": release})
    assert host.version == version
    assert host.release == release.rstrip("\n")


def test_a_filter_and_no_new_privs_are_told_by_the_status(make_host):
    host = make_host({"/proc/thread-self/status": "NoNewPrivs:\t1\nSeccomp:\t2\n"})
    assert host.filtered
    assert host.no_new_privs
    host = make_host({"/proc/thread-self/status": "Name:\tx\n"})
    assert not host.filtered
    assert not host.no_new_privs


@pytest.mark.parametrize(("inode", "first"), [(4026531837, True), (4026532000, False)])
def test_the_first_user_namespace_is_known_by_its_number(make_host, inode, first):
    host = make_host({"/proc/self/ns/user": None})
    host.path("/proc/self/ns/user").symlink_to(f"user:[{inode}]")
    assert host.in_first_user_namespace is first


FILES = (
    "/proc/sys/kernel/osrelease",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/vm/memfd_noexec",
    "/proc/thread-self/status",
    "/proc/thread-self/cgroup",
    "/proc/thread-self/attr/current",
    "/proc/self/mountinfo",
    "/proc/filesystems",
    "/etc/subuid",
    "/etc/nsswitch.conf",
    "/sys/fs/cgroup/user.slice/app.scope/cgroup.controllers",
    "/proc/self/ns/net",
)
odd = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.sampled_from(["0\n", "1\n", "2\n", "-1\n", "0::/..\n", "0::/\n", "me:1:\n", "subid: sss\n"]),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FILES), odd), st.integers(-133, 9), st.booleans())
def test_whatever_the_files_say_there_is_a_report(make_host, files, answer, writable):
    before = make_host()
    for name in FILES:  # what the example before has left
        before.path(name).unlink(missing_ok=True)
    host = make_host(files, may_write=lambda _: writable)
    for name, content in files.items():
        if content is None:
            host.path(name).unlink(missing_ok=True)
    found = report(Host(**{**host_fields(host), "ask": lambda _: answer}))
    assert str(found)
    for finding in found.findings:
        assert finding.ok == (finding.reason is None) == (finding.remedy is None)
        assert finding.name
        assert finding.detail
        if not finding.ok:
            assert finding.reason
            assert finding.remedy


def host_fields(host):
    return {name: getattr(host, name) for name in Host.__slots__ if not name.startswith("_")}


def test_a_host_without_proc_has_a_report_too(tmp_path):
    host = Host(
        root=tmp_path,
        uid=0,
        login=None,
        search_path="",
        capabilities=Capability(0),
        ask=lambda _: -38,
        may_write=lambda _: False,
    )
    found = report(host)
    assert not found.kernel.ok
    assert found.cgroups.layout == "none"
    assert len(found.missing) > 10
    assert str(found)
