"""A caller without any right: a user namespace makes up for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, NamespaceType

pytestmark = [pytest.mark.usefixtures("ordinary_user"), pytest.mark.guest]


def sh(script: str, spec: BoxSpec = BoxSpec()) -> str:
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_the_caller_is_root_inside_by_default() -> None:
    assert sh("id -u; id -g").split() == ["0", "0"]
    assert sh("cat /proc/self/uid_map").split() == ["0", str(os.geteuid()), "1"]
    assert sh("cat /proc/self/setgroups") == "deny\n"


def test_the_caller_is_itself_inside_on_request() -> None:
    spec = BoxSpec(id_map=IDMap.same())
    assert sh("id -u; id -g", spec).split() == [str(os.geteuid()), str(os.getegid())]
    for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        line = next(
            line for line in sh("cat /proc/self/status", spec).splitlines() if field in line
        )
        assert int(line.split()[1], 16) == 0


def test_every_default_namespace_is_its_own() -> None:
    for kind in (*nsbox.ISOLATED, NamespaceType.USER):
        own = os.readlink(f"/proc/self/ns/{kind.proc_name}")
        assert sh(f"readlink /proc/self/ns/{kind.proc_name}").strip() != own


def test_root_inside_is_nobody_special_outside(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    spec = BoxSpec(rootfs=nsbox.RootFS.system().with_mounts(nsbox.Mount.bind(shared, "/shared")))
    sh("echo made > /shared/file", spec)
    assert (shared / "file").stat().st_uid == os.geteuid()


def test_secrets_of_the_host_cannot_be_read() -> None:
    spec = BoxSpec(rootfs=nsbox.RootFS.system().with_mounts(nsbox.Mount.bind("/etc", "/host-etc")))
    done = nsbox.run(["cat", "/host-etc/shadow"], spec, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")


def test_without_a_user_namespace_the_error_says_what_is_missing() -> None:
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.HOST})
    with pytest.raises(PermissionError) as caught:
        nsbox.run(["true"], spec)
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "clone3"
    assert "CAP_SYS_ADMIN" in str(caught.value)


def test_user_namespaces_switched_off_are_named_as_the_reason() -> None:
    """The limit is set in a user namespace of the test's own, where it binds nobody else."""
    script = (
        "import nsbox\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "kinds = nsbox.ISOLATED | {nsbox.NamespaceType.USER: nsbox.Choice.NEW}\n"
        "try:\n"
        "    nsbox.run(['true'], nsbox.BoxSpec(namespaces=kinds))\n"
        "except nsbox.StepError as error:\n"
        "    print(type(error).__mro__[0].__name__, error.step.name, error.errno, error)\n"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StepError clone3 28" in done.stdout, done.stderr
    assert "max_user_namespaces" in done.stdout


def test_limits_without_a_cgroup_to_write_to_fail_at_their_step_and_leave_nothing() -> None:
    spec = BoxSpec(resources=nsbox.Resources(pids_max=50))
    if nsbox.probe().cgroups.writable:
        assert sh("echo limited", spec) == "limited\n"
        return
    with pytest.raises((nsbox.StepError, nsbox.UnsupportedError)):
        nsbox.run(["true"], spec)
