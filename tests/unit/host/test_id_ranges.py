"""Whether a caller can have more ids than its own: newuidmap and its ranges."""

import pytest

from nsbox.constants import Capability
from nsbox.host.id_ranges import newuidmap


def test_ranges_and_the_programs_that_map_them_are_found(make_host):
    finding = newuidmap(make_host())
    assert (finding.ok, finding.detail) == (True, "uids 100000-165535; gids 100000-165535")


def test_ranges_may_be_granted_by_uid(make_host):
    files = {"/etc/subuid": "1000:200000:10\nother:1:1\n", "/etc/subgid": "1000:1:1\nme:5:2\n"}
    assert newuidmap(make_host(files)).detail == "uids 200000-200009; gids 1-1, 5-6"


def test_who_may_map_any_id_needs_no_program(make_host):
    both = Capability.CAP_SETUID | Capability.CAP_SETGID
    files = {"/usr/bin/newuidmap": None}
    assert newuidmap(make_host(files, capabilities=both)).ok
    assert not newuidmap(make_host(files, capabilities=Capability.CAP_SETUID)).ok


@pytest.mark.parametrize("program", ["newuidmap", "newgidmap"])
def test_a_missing_program_is_named_with_its_package(make_host, program):
    finding = newuidmap(make_host({f"/usr/bin/{program}": None}))
    assert finding.reason == f"{program} is not on PATH"
    assert "uidmap" in finding.remedy


def test_a_program_without_privileges_is_of_no_use(make_host):
    host = make_host()
    host.path("/usr/bin/newgidmap").chmod(0o755)
    assert "newgidmap has neither the setuid bit" in newuidmap(host).reason


def test_a_program_that_may_not_be_run_is_not_on_path(make_host):
    host = make_host()
    host.path("/usr/bin/newuidmap").chmod(0o4644)
    assert newuidmap(host).reason == "newuidmap is not on PATH"


def test_no_new_privs_takes_the_privilege_away(make_host):
    finding = newuidmap(make_host({"/proc/thread-self/status": "NoNewPrivs:\t1\n"}))
    assert "no_new_privs" in finding.reason


@pytest.mark.parametrize(
    ("files", "lacking"),
    [
        ({"/etc/subuid": "other:100000:65536\n"}, "/etc/subuid"),
        ({"/etc/subgid": None}, "/etc/subgid"),
        ({"/etc/subuid": "", "/etc/subgid": "# none\n"}, "/etc/subuid and /etc/subgid"),
    ],
)
def test_a_caller_without_ranges_is_told_how_to_get_them(make_host, files, lacking):
    finding = newuidmap(make_host(files))
    assert finding.reason == f"{lacking} grants no range to me"
    assert finding.remedy == "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 me"


def test_a_caller_without_a_name_is_called_by_its_uid(make_host):
    finding = newuidmap(make_host(login=None))
    assert finding.reason.endswith("grants no range to 1000")


def test_a_file_that_cannot_be_understood_is_to_be_corrected(make_host):
    finding = newuidmap(make_host({"/etc/subuid": "me:one:2\n"}))
    assert "line 1" in finding.reason
    assert "subuid(5)" in finding.remedy


@pytest.mark.parametrize(
    ("line", "elsewhere"),
    [
        ("subid: sss\n", True),
        ("subid: files # sss\n", False),
        ("passwd: sss\n", False),
        ("", False),
    ],
)
def test_ranges_may_come_from_elsewhere(make_host, line, elsewhere):
    files = {"/etc/nsswitch.conf": line, "/etc/subuid": None, "/etc/subgid": None}
    finding = newuidmap(make_host(files))
    assert finding.ok is elsewhere
    assert ("sss" in finding.detail) is elsewhere
