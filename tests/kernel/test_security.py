"""What a box may do, as the kernel sees it."""

import os
import subprocess
from pathlib import Path

import attrs
import pytest

import nsbox
from nsbox import Argument, BoxSpec, Resources, Rule, Seccomp, Security, _native
from nsbox.constants import Capability

DEFAULT = BoxSpec()


def status(spec: BoxSpec = DEFAULT, **options: object) -> dict[str, str]:
    done = nsbox.run(
        ["cat", "/proc/self/status"], spec, capture_output=True, text=True, check=True, **options
    )
    return dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)


def sh(script: str, spec: BoxSpec = DEFAULT) -> subprocess.CompletedProcess[str]:
    return nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)


@pytest.mark.guest
def test_a_command_has_the_bounded_set_and_a_filter() -> None:
    found = status()
    kept = Security().capabilities
    assert int(found["CapBnd"], 16) == kept
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == kept
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_a_second_command_has_no_more(root: None) -> None:
    names = ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")
    with DEFAULT.start() as box:
        done = box.run(["cat", "/proc/self/status"], capture_output=True, text=True)
    found = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert {name: found[name] for name in names} == {name: status()[name] for name in names}


def test_capabilities_are_those_that_were_named(root: None) -> None:
    spec = BoxSpec(security=Security(capabilities=Capability.CAP_CHOWN | Capability.CAP_KILL))
    assert int(status(spec)["CapEff"], 16) == 1 << 0 | 1 << 5
    assert int(status(BoxSpec(security=Security(capabilities=Capability(0))))["CapBnd"], 16) == 0


def test_a_user_has_none(root: None) -> None:
    found = status(user=1000, group=1000)
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0


def test_a_user_needs_no_capability_of_the_boxs(root: None) -> None:
    spec = BoxSpec(security=Security(capabilities=Capability(0)))
    for user in (0, 1000):
        found = status(spec, user=user, group=user, extra_groups=[7])
        assert found["Uid"].split() == [str(user)] * 4
        assert found["Groups"].split() == ["7"]
        assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0


def test_the_starters_groups_are_not_the_boxs(root: None) -> None:
    assert status()["Groups"].split() == []


def test_a_privileged_box_keeps_what_its_starter_has(root: None) -> None:
    spec = BoxSpec(security=Security.privileged())
    own = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    found = status(spec)
    assert (found["CapEff"], found["Seccomp"], found["NoNewPrivs"]) == (own["CapEff"], "0", "0")
    assert "PRIVILEGED" in str(spec.security)
    assert sh("mount -t tmpfs none /tmp", spec).returncode == 0


@pytest.mark.guest
@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs none /tmp",
        "unshare -U true",
        "unshare -m true",
        "dmesg",
        "mknod /tmp/sda b 8 0",
        "chroot / mount -t proc proc /proc",
        "hostname other",
        "date -s 2001-01-01",
    ],
)
def test_what_changes_the_machine_is_refused(script: str) -> None:
    assert sh(script).returncode != 0


def test_a_filter_of_ones_own_decides_by_arguments() -> None:
    rules = [Rule("mkdir", "EXDEV"), Rule("mkdirat", "EXDEV")]
    done = sh("mkdir /tmp/x", BoxSpec(security=Security(seccomp=Seccomp(rules, "allow"))))
    assert done.returncode != 0
    assert "cross-device" in done.stderr


def test_a_filter_of_a_thousand_instructions_decides_by_arguments() -> None:
    never = 0x123456789ABC0000  # as no argument is
    rules = [Rule("mkdir", "EXDEV", arguments=[Argument(1, "&==", 0o700, mask=0o7777)])]
    rules += [Rule("mkdirat", "EXDEV", arguments=[Argument(2, "&==", 0o700, mask=0o7777)])]
    rules += [
        Rule(name, "kill_process", arguments=[Argument(5, "==", never | number)])
        for number, name in enumerate(_native.syscalls())
    ]
    seccomp = Seccomp(rules, "allow")
    assert len(seccomp.program()) // 8 > 1000
    done = sh(
        "mkdir -m 755 /tmp/x && echo made; mkdir -m 700 /tmp/y; ls /tmp",
        BoxSpec(security=Security(seccomp=seccomp)),
    )
    assert done.stdout.split() == ["made", "x"]
    assert "cross-device" in done.stderr


def test_a_filter_can_kill() -> None:
    rules = [Rule(("mkdir", "mkdirat"), "kill_process")]
    spec = BoxSpec(security=Security(seccomp=Seccomp(rules, "allow")))
    assert nsbox.run(["mkdir", "/tmp/x"], spec).returncode == -31  # SIGSYS


def test_a_filter_without_execve_fails_at_the_exec() -> None:
    spec = BoxSpec(security=Security(seccomp=Seccomp.standard().deny("execve")))
    with pytest.raises(PermissionError) as caught:
        nsbox.run(["true"], spec)
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "execve"


def test_limits_of_a_process_are_set() -> None:
    spec = BoxSpec(security=Security(rlimits={"nofile": (64, 128), "core": 0}))
    assert sh("ulimit -Sn; ulimit -Hn; ulimit -c", spec).stdout.split() == ["64", "128", "0"]


@pytest.mark.guest
def test_strict_leaves_nothing_to_root_inside(strict: BoxSpec) -> None:
    found = status(strict)
    assert {int(found[name], 16) for name in ("CapBnd", "CapEff", "CapPrm", "CapInh")} == {0}
    assert found["Seccomp"] == "2"
    own = os.readlink("/proc/self/ns/user")
    assert sh("readlink /proc/self/ns/user", strict).stdout.strip() != own


def test_strict_lets_files_be_written_where_it_says_only(strict: BoxSpec, tmp_path: object) -> None:
    shown = attrs_with_bind(strict, str(tmp_path))
    assert sh("echo x > /tmp/file && cat /tmp/file && echo y > /dev/null", strict).stdout == "x\n"
    done = sh("echo x > /shown/file", shown)
    assert done.returncode != 0
    assert sh("ls /shown; cat /etc/passwd", shown).returncode == 0


def attrs_with_bind(spec: BoxSpec, folder: str) -> BoxSpec:
    os.chmod(folder, 0o777)
    return attrs.evolve(spec, rootfs=spec.rootfs.with_mounts(nsbox.Mount.bind(folder, "/shown")))


def test_strict_takes_limits_and_namespaces() -> None:
    with pytest.raises(ValueError, match="resources"):
        BoxSpec(security=Security.strict())
    limits = Resources(memory_max="64M", pids_max=32)
    shared = nsbox.ISOLATED | {nsbox.NamespaceType.NET: nsbox.Choice.HOST}
    with pytest.raises(ValueError, match="namespaces"):
        BoxSpec(security=Security.strict(), resources=limits, namespaces=shared)
