"""Bundles under runc: what is written here runs there and says the same, and the other way round."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import nsbox
from nsbox import (
    ISOLATED,
    BoxSpec,
    Choice,
    IDMap,
    Mount,
    NamespaceType,
    Resources,
    RootFS,
    Rule,
    Seccomp,
    Security,
)
from nsbox.constants import Capability
from nsbox.oci import read_bundle, write_bundle

RUNC, BUSYBOX = shutil.which("runc"), shutil.which("busybox")
pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(RUNC is None, reason="needs runc (Debian: runc)"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (Debian: busybox-static)"),
]

SHELL = ("/bin/busybox", "sh", "-c")
STATUS = r"grep -E '^(Uid|Gid|Cap...|NoNewPrivs|Seccomp|Umask):' /proc/self/status"
LOOK = (
    f"hostname; id -u; id -g; pwd; env | sort; {STATUS}; ls -l /dev | tr -s ' ' | cut -d' ' -f1,10-"
)


def copied(folder):
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "data").mkdir()
    (tree / "data/one").write_text("one\n")
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    for name in ("sh", "cat", "cut", "env", "grep", "hostname", "id", "ls", "sort", "tr", "dd"):
        (tree / "bin" / name).symlink_to("busybox")
    return tree


@pytest.fixture
def tree(tmp_path):
    return copied(tmp_path)


@pytest.fixture
def runc(tmp_path):
    """Run a bundle under runc, its state in a folder of the test's."""

    def run(bundle):
        name = f"nsbox-{tmp_path.name}"
        command = [RUNC, "--root", str(tmp_path / "state"), "run", "--bundle", str(bundle), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not done.stderr, done.stderr
        return done

    return run


def here(args, spec):
    done = nsbox.run(args, spec, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done


BOUND = re.search(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())
HELD = Capability(int(BOUND[1], 16) if BOUND else 0)
DATA = Mount.bind("/usr/share", "/share", readonly=True)
CASES = {
    "as it is by default": ({}, LOOK),
    "a name, variables, a folder": (
        {"hostname": "node1", "env": {"PATH": "/bin", "HOME": "/", "A": "b=c"}, "cwd": "/data"},
        LOOK,
    ),
    "another user and umask": (
        {"user": 1234, "group": 4321, "umask": 0o077, "security": Security(no_new_privs=True)},
        LOOK,
    ),
    "no capabilities": ({"security": Security(capabilities=Capability(0))}, LOOK),
    "all capabilities that the caller has": (
        {"security": Security(capabilities=HELD, seccomp=None, no_new_privs=False)},
        STATUS,
    ),
    "limits of processes": (
        {"security": Security(rlimits={"nofile": (100, 200), "core": 0})},
        "ulimit -n; ulimit -Hn; ulimit -c",
    ),
    "limits of a group": (
        {"resources": Resources(pids_max=64, memory_max="64M", cpu_weight=50)},
        "echo started",
    ),
    "mounts": (
        {"mounts": [DATA, Mount.tmpfs("/run", size="1M", mode=0o700), Mount.mqueue()]},
        "ls -ld /share /run /tmp /dev/shm | cut -c1-10; touch /share/a 2>/dev/null || echo no; "
        "dd if=/dev/zero of=/run/a bs=1M count=2 2>/dev/null || echo full",
    ),
    "a root that is read only": (
        {"readonly": True},
        "echo 1 2>/dev/null >/data/two || echo no; cat /data/one; echo 1 >/tmp/a && cat /tmp/a",
    ),
    "paths that are masked and read only": (
        {"mounts": [Mount.masked("/data/one"), Mount.readonly_path("/bin")]},
        "cat /data/one; echo 1 2>/dev/null >/bin/a || echo no; cat /proc/timer_list; "
        "echo 1 2>/dev/null >/proc/sys/kernel/panic || echo no; ls /proc/acpi",
    ),
    "a filter of its own": (
        {"security": Security(seccomp=Seccomp([Rule(["mkdir", "mkdirat"], "ENOSYS")], "allow"))},
        "busybox mkdir /tmp/a 2>/dev/null || echo no",
    ),
    "the host's network": (
        {"namespaces": ISOLATED | {NamespaceType.NET: Choice.HOST}},
        "ls /proc/net/dev; grep -c : /proc/net/dev",
    ),
}


def spec_of(tree, *, readonly=False, mounts=(), **fields):
    rootfs = RootFS.directory(tree, readonly=readonly).with_mounts(*mounts)
    return BoxSpec(rootfs=rootfs, **fields)


@pytest.mark.parametrize("case", CASES)
def test_a_spec_says_the_same_under_runc_as_here(case, tree, runc, tmp_path):
    fields, script = CASES[case]
    spec = spec_of(tree, **fields)
    bundle = write_bundle(tmp_path / "bundle", spec, [*SHELL, script])
    peer = runc(bundle)
    assert peer.stdout.strip(), "the script says something, or nothing is compared"
    own = here([*SHELL, script], spec)
    assert (own.stdout, own.returncode) == (peer.stdout, peer.returncode)
    assert read_bundle(bundle)[0].security == spec.security


def test_the_limits_of_a_bundle_are_those_of_the_group(tree, runc, tmp_path):
    limits = Resources(pids_max=64, memory_max="64M", cpu_weight=50, cpu_max=0.5)
    mounts = [Mount.sysfs(), Mount.cgroup()]
    spec = spec_of(tree, resources=limits, mounts=mounts, namespaces=ISOLATED)
    names = "pids.max", "memory.limit_in_bytes", "memory.max", "cpu.shares", "cpu.cfs_quota_us"
    script = "cd /sys/fs/cgroup; for f in " + " ".join(f"{n} */{n}" for n in names)
    script += "; do test -e $f && echo $f && cat $f; done; true"
    peer = runc(write_bundle(tmp_path / "bundle", spec, [*SHELL, script]))
    assert "64\n" in peer.stdout
    assert here([*SHELL, script], spec).stdout == peer.stdout


def test_a_user_namespace_maps_the_same_ids(runc, tmp_path):
    with tempfile.TemporaryDirectory() as name:  # where others than root can come, too
        folder = Path(name)
        folder.chmod(0o711)
        made = copied(folder)
        for path in (made, *made.rglob("*")):
            os.chown(path, 300000, 300000, follow_symlinks=False)
        spec = spec_of(
            made,
            namespaces=ISOLATED | {NamespaceType.USER: Choice.NEW},
            id_map=IDMap.ranges([(0, 300000, 1000)]),
        )
        script = f"cat /proc/self/uid_map; ls -ln /data; {STATUS}"
        peer = runc(write_bundle(tmp_path / "bundle", spec, [*SHELL, script]))
        assert "300000" in peer.stdout
        assert here([*SHELL, script], spec).stdout == peer.stdout


# What `runc spec` writes.


@pytest.fixture
def foreign(tree, tmp_path):
    """A bundle that runc wrote, with changes."""
    subprocess.run([RUNC, "spec", "--bundle", str(tmp_path)], check=True)

    def change(script, **changes):
        config = json.loads((tmp_path / "config.json").read_text())
        config["process"] |= {"args": [*SHELL, script], "terminal": False}
        config["root"]["path"] = "tree"
        for name, value in changes.items():
            inside = config if name in ("hostname", "mounts") else config["process"]
            inside[name] = value
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return change


FOREIGN = {
    "as it is": ({}, "hostname; id -u; pwd; ulimit -n; echo $TERM"),
    "its rights": ({}, r"grep -E '^(CapBnd|CapPrm|CapEff|NoNewPrivs|Seccomp):' /proc/self/status"),
    "its mounts": (
        {},
        "ls /dev /dev/pts; ls -d /dev/mqueue /dev/shm /sys/kernel /sys/fs/cgroup; ls /sys/firmware; "
        "echo 1 2>/dev/null >/bin/a || echo no; cat /proc/timer_list",
    ),
    "another user": ({"user": {"uid": 99, "gid": 98}, "capabilities": {}}, "id -u; id -g"),
    "another name, folder and variables": (
        {"hostname": "peer", "cwd": "/data", "env": ["PATH=/bin", "HOME=/", "A=1"]},
        "hostname; pwd; env | sort; cat one",
    ),
    "few mounts": (
        {"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]},
        "ls /; ls /data",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_bundle_of_runcs_says_the_same_here(case, foreign, runc):
    changes, script = FOREIGN[case]
    bundle = foreign(script, **changes)
    peer = runc(bundle)
    assert peer.stdout.strip()
    spec, args = read_bundle(bundle)
    own = here(args, spec)
    if case == "few mounts":  # a box has a /dev and a /tmp, whoever asks
        assert set(own.stdout.split()) >= set(peer.stdout.split())
    else:
        assert own.stdout == peer.stdout


def test_a_bundle_of_runcs_is_written_again_and_says_the_same(foreign, runc, tmp_path):
    spec, args = read_bundle(foreign("hostname; ulimit -n; echo $TERM; ls /dev"))
    peer = runc(write_bundle(tmp_path / "again", spec, args))
    assert peer.stdout.startswith("runc\n1024\nxterm\n")
    assert here(args, spec).stdout == peer.stdout
