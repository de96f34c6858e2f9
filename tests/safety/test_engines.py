"""The default against what `runc spec` writes, point by point; the table is in docs/security.md."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec, Security
from nsbox.constants import Capability

MORE_CAPABILITIES = Security().capabilities & ~(
    Capability.CAP_AUDIT_WRITE | Capability.CAP_KILL | Capability.CAP_NET_BIND_SERVICE
)
"""What the default has beyond it: what engines add to it, but for CAP_MKNOD. docs/security.md."""

LOOK = r"""
import json, os, stat, sys

spec = json.loads(sys.argv[1])
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
mounts = {}
for line in open("/proc/self/mountinfo"):
    fields = line.split()
    mounts[fields[4]] = sorted(set(fields[5].split(",")))  # the topmost is the last

def looks_empty(path):
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return os.listdir(path) == []
        with open(path, "rb") as file:
            return file.read(1) == b""
    except FileNotFoundError:
        return True

def made(path):
    try:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(8, 0))
    except OSError:
        return False
    return True

def written(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True

print(json.dumps({
    "status": status,
    "mounts": mounts,
    "shown": [path for path in spec["linux"]["maskedPaths"] if not looks_empty(path)],
    "there": [path for path in spec["linux"]["readonlyPaths"] if os.path.exists(path)],
    "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
    "devices": [name for name in os.listdir("/dev") if stat.S_ISCHR(os.lstat(f"/dev/{name}").st_mode)],
    "made": [path for path in ("/dev/sda", "/tmp/sda", "/dev/shm/sda") if made(path)],
    "written": [path for path in ("/file", "/usr/file", "/etc/file") if written(path)],
    "environment": sorted(os.environ),
    "groups": os.getgroups(),
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
    "hostname": os.uname().nodename,
}))
"""

NAMES = {"network": "net", "mount": "mnt"}
DEVICES = {"full", "null", "random", "tty", "urandom", "zero", "ptmx", "console"}
"""Those that runc makes, whatever the list says."""


@pytest.fixture(scope="module")
def runc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("runc") is None:
        pytest.skip("needs runc (Debian: runc)")
    folder = tmp_path_factory.mktemp("bundle")
    rootless = ["--rootless"] if os.geteuid() else []
    subprocess.run(["runc", "spec", *rootless], cwd=folder, check=True)
    return dict(json.loads((folder / "config.json").read_text()))


@pytest.fixture(scope="module")
def box(runc: dict[str, Any]) -> dict[str, Any]:
    """What a program finds in a box of the default."""
    command = ["/usr/bin/python3", "-c", LOOK, json.dumps(runc)]
    done = nsbox.run(command, BoxSpec(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def as_set(names: list[str]) -> int:
    return sum(Capability[name] for name in names)


def test_each_namespace_that_it_asks_for_is_new(runc: dict[str, Any], box: dict[str, Any]) -> None:
    wanted = [NAMES.get(one["type"], one["type"]) for one in runc["linux"]["namespaces"]]
    assert {"pid", "ipc", "uts", "mnt"} <= set(wanted)  # and the network, unless it is rootless
    for name in {*wanted, "cgroup"}:
        assert box["namespaces"][name] != str(Path(f"/proc/self/ns/{name}").readlink())


def test_nothing_can_be_gained(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert runc["process"]["noNewPrivileges"]
    assert box["status"]["NoNewPrivs"] == "1"


def test_capabilities_are_those_of_the_table(runc: dict[str, Any], box: dict[str, Any]) -> None:
    theirs = runc["process"]["capabilities"]
    for name, field in {"bounding": "CapBnd", "effective": "CapEff", "permitted": "CapPrm"}.items():
        assert int(box["status"][field], 16) & ~as_set(theirs[name]) == MORE_CAPABILITIES
    for name, field in {"ambient": "CapAmb", "inheritable": "CapInh"}.items():
        assert int(box["status"][field], 16) == 0 <= as_set(theirs.get(name, []))
    assert not MORE_CAPABILITIES & (Capability.CAP_SYS_ADMIN | Capability.CAP_MKNOD)


def test_as_few_as_its_own_are_one_field(runc: dict[str, Any]) -> None:
    kept = as_set(runc["process"]["capabilities"]["bounding"])
    limits = {
        one["type"].removeprefix("RLIMIT_").lower(): (one["soft"], one["hard"])
        for one in runc["process"]["rlimits"]
    }
    spec = BoxSpec(security=Security(capabilities=Capability(kept), rlimits=limits))
    script = "cat /proc/self/status; ulimit -Sn; ulimit -Hn"
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, check=True)
    for field in ("CapBnd", "CapEff", "CapPrm"):
        assert f"{field}:\t{kept:016x}\n" in done.stdout
    assert done.stdout.split()[-2:] == [str(limit) for limit in limits["nofile"]]


def test_there_is_a_filter_and_it_has_none(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert "seccomp" not in runc["linux"]
    assert box["status"]["Seccomp"] == "2"


def test_the_root_can_only_be_read(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert runc["root"]["readonly"]
    assert box["written"] == []
    assert "ro" in box["mounts"]["/"]


def test_what_it_masks_is_masked_or_not_there(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert len(runc["linux"]["maskedPaths"]) >= 8
    assert box["shown"] == []


def test_what_it_makes_read_only_is_so(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert set(box["there"]) <= set(runc["linux"]["readonlyPaths"])
    assert "/proc/sys" in box["there"]
    for path in box["there"]:
        assert "ro" in box["mounts"][path], path


def test_mounts_that_both_have_are_restricted_alike(
    runc: dict[str, Any], box: dict[str, Any]
) -> None:
    both = [mount for mount in runc["mounts"] if mount["destination"] in box["mounts"]]
    assert {"/proc", "/dev", "/dev/pts", "/dev/shm"} <= {mount["destination"] for mount in both}
    for mount in both:
        wanted = {"ro", "nosuid", "nodev", "noexec"} & set(mount.get("options", []))
        assert wanted <= set(box["mounts"][mount["destination"]]), mount
    for path in ("/sys", "/sys/fs/cgroup", "/dev/mqueue"):
        assert path not in box["mounts"]  # what is not there needs no restriction


def test_no_device_but_its_own_is_there_or_can_be_made(
    runc: dict[str, Any], box: dict[str, Any]
) -> None:
    if "resources" in runc["linux"]:  # the list of devices of a caller without rights is empty
        assert runc["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert set(box["devices"]) <= DEVICES
    assert box["made"] == []


def test_nothing_of_the_callers_is_handed_down(runc: dict[str, Any], box: dict[str, Any]) -> None:
    assert box["environment"] == sorted(BoxSpec().env)
    assert box["descriptors"] in ([0, 1, 2, 3], [0, 1, 2])
    assert box["groups"] in ([], [0], [65534])
