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
    Argument,
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
from nsbox.procfs import parse_mountinfo

RUNC, CRUN, BUSYBOX = (shutil.which(name) for name in ("runc", "crun", "busybox"))
pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(RUNC is None, reason="needs runc (Debian: runc)"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (Debian: busybox-static)"),
]

SHELL = ("/bin/busybox", "sh", "-c")
STATUS = r"grep -E '^(Uid|Gid|Cap...|NoNewPrivs|Seccomp|Umask):' /proc/self/status"
OF_A_USER = STATUS.replace("Cap...", "CapPrm|CapEff|CapAmb")
"""What the box's root keeps to change users is in the bounding set of a user, too; and runtimes give
root an ambient set, which is nothing to it."""

OF_ANYBODY = OF_A_USER.replace("|CapAmb", "")

LOOK = f"hostname; id -u; id -g; pwd; env | sort; {STATUS}; ls -l /dev | grep -v core | tr -s ' ' | cut -d' ' -f1,10-"


def copied(folder):
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "data").mkdir()
    (tree / "data/one").write_text("one\n")
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    for name in (
        "sh",
        "cat",
        "cut",
        "env",
        "grep",
        "hostname",
        "id",
        "ls",
        "sort",
        "tr",
        "dd",
        "touch",
        "sleep",
    ):
        (tree / "bin" / name).symlink_to("busybox")
    return tree


@pytest.fixture
def tree(tmp_path):
    return copied(tmp_path)


def cgroup2_view():
    """Run a program where /sys/fs/cgroup is the unified hierarchy, in a mount namespace of its own.

    crun refuses a host that has v1 hierarchies beside it, whatever is asked of it.
    """
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    unified = [mount.mount_point for mount in mounts if mount.fs_type == "cgroup2"]
    if not unified or unified == ["/sys/fs/cgroup"]:
        return []
    bind = 'mount --bind "$0" /sys/fs/cgroup && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind, unified[0]]


def runs(tmp_path, *command):
    """Return what runs a bundle under another runtime, its state in a folder of the test's."""

    def run(bundle):
        name = f"nsbox-{tmp_path.name}"
        state = ["--root", str(tmp_path / "state")]
        done = subprocess.run(
            [*command, *state, "run", "--bundle", str(bundle), name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def runc(tmp_path):
    return runs(tmp_path, RUNC)


@pytest.fixture
def crun(tmp_path):
    if CRUN is None:
        pytest.skip("needs crun (Debian: crun)")
    return runs(tmp_path, *cgroup2_view(), CRUN, "--cgroup-manager", "disabled")


def here(args, spec):
    done = nsbox.run(args, spec, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done


BOUND = re.search(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())
HELD = Capability(int(BOUND[1], 16) if BOUND else 0)
IDS = Capability.CAP_SETUID | Capability.CAP_SETGID
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
    "a domain": (
        {"hostname": "one", "domainname": "two.example"},
        "hostname; cat /proc/sys/kernel/domainname",
    ),
    "kernel parameters": (
        {"sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "7"}},
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni fs/mqueue/msg_max",
    ),
    "a folder as its root, and nothing else": ({}, "ls /; ls /data; cat /data/one"),
    "no variables but one": ({"env": {"HOME": "/a"}}, "env | sort | grep -v -e PWD -e SHLVL"),
    "variables with all kinds of characters": (
        {"env": {"PATH": "/bin", "HOME": "/", "A": "b c", "Q": "'\"", "EMPTY": "", "U": "\u00e9"}},
        "env | sort | grep -v -e PWD -e SHLVL",
    ),
    "a status that is not 0": ({}, "echo one; exit 42"),
    "a process that a signal ends": (
        {},
        "sh -c 'kill -TERM $$' 2>/dev/null; echo $?",
    ),
    "a group that is not root": (
        {"group": 77, "security": Security(no_new_privs=True)},
        f"id -g; touch /tmp/a; ls -ln /tmp/a | tr -s ' ' | cut -d' ' -f3,4; {STATUS}",
    ),
    "an umask": ({"umask": 0o177}, "umask; touch /tmp/a; ls -l /tmp/a | cut -c1-10"),
    "few capabilities": (
        {"security": Security(capabilities=Capability.CAP_CHOWN | Capability.CAP_KILL)},
        STATUS,
    ),
    "another user with capabilities": (
        {
            "user": 12,
            "group": 34,
            "security": Security(
                capabilities=IDS | Capability.CAP_CHOWN | Capability.CAP_KILL,
                ambient=Capability.CAP_KILL,
            ),
        },
        STATUS,
    ),
    "a filter that ships": ({"security": Security(seccomp=Seccomp.standard())}, STATUS),
    "a strict filter": (
        {"security": Security(seccomp=Seccomp.strict())},
        f"{STATUS}; busybox unshare -U true 2>/dev/null || echo no",
    ),
    "a filter by arguments": (
        {
            "security": Security(
                seccomp=Seccomp(
                    [Rule("kill", "EIO", arguments=[Argument(1, "==", 10)])], default="allow"
                )
            )
        },
        "kill -0 $$ && echo yes; kill -USR1 $$ 2>/dev/null || echo no",
    ),
    "no namespaces but a root and a name": (
        {"namespaces": {NamespaceType.MNT: Choice.NEW, NamespaceType.UTS: Choice.NEW}},
        "ls / | sort; cat /data/one",
    ),
    "a bind mount that is no program's": (
        {"mounts": [Mount.bind("/bin", "/share", noexec=True)]},
        "/share/true 2>/dev/null; echo $?",
    ),
    "a file bound over another": (
        {"mounts": [Mount.bind("/etc/hostname", "/data/one", readonly=True, recursive=False)]},
        "cat /data/one; echo a 2>/dev/null >/data/one || echo no",
    ),
    "a file system in memory that begins with what is there": (
        {"mounts": [Mount.tmpfs("/data", copy_up=True)]},
        "cat /data/one; echo 2 >/data/two; cat /data/two",
    ),
    "a mount upon another": (
        {"mounts": [Mount.tmpfs("/data", mode=0o755), Mount.bind("/usr/share", "/data/share")]},
        "ls /data; ls -ld /data | cut -c1-10",
    ),
    "a /proc that tells of its own processes alone": (
        {"mounts": [Mount.proc(hidepid="invisible")]},
        "grep -o hidepid=invisible /proc/mounts || grep -o hidepid=2 /proc/mounts",
    ),
    "a /sys that is read only": (
        {"mounts": [Mount.sysfs()]},
        "ls -d /sys/kernel; echo 1 2>/dev/null >/sys/kernel/mm/ksm/run || echo no",
    ),
    "a score for the OOM killer": (
        {"oom_score_adj": 500},
        "cat /proc/self/oom_score_adj",
    ),
    "the host's network": (
        {"namespaces": ISOLATED | {NamespaceType.NET: Choice.HOST}},
        "ls /proc/net/dev; grep -c : /proc/net/dev",
    ),
}


NOT_KNOWN = {
    ("a domain", "runc"): "runc 1.1 knows no domainname",
    ("few mounts", "crun"): "crun 1.8 takes no tree without /dev",
}


def spec_of(tree, *, readonly=False, mounts=(), **fields):
    rootfs = RootFS.directory(tree, readonly=readonly).with_mounts(*mounts)
    return BoxSpec(rootfs=rootfs, **fields)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("case", CASES)
def test_a_spec_says_the_same_under_another_runtime_as_here(case, runtime, tree, request, tmp_path):
    if (case, runtime) in NOT_KNOWN:
        pytest.skip(NOT_KNOWN[case, runtime])
    fields, script = CASES[case]
    spec = spec_of(tree, **fields)
    bundle = write_bundle(tmp_path / "bundle", spec, [*SHELL, script])
    peer = request.getfixturevalue(runtime)(bundle)
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


# What `runc spec` and `crun spec` write.


@pytest.fixture(params=["runc", "crun"])
def runtime(request):
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture
def foreign(tree, tmp_path, runtime):
    """A bundle that the runtime wrote, with changes."""
    subprocess.run([runtime[0], "spec"], cwd=tmp_path, check=True)

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
        "ls /dev | grep -v core; ls /dev/pts; ls -d /dev/mqueue /dev/shm /sys/kernel /sys/fs/cgroup; ls /sys/firmware; "
        "echo 1 2>/dev/null >/bin/a || echo no; cat /proc/timer_list",
    ),
    "another user": ({"user": {"uid": 99, "gid": 98}}, f"id -u; id -g; {OF_A_USER}"),
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
def test_a_bundle_of_a_runtimes_says_the_same_here(case, foreign, runtime):
    if (case, runtime[0]) in NOT_KNOWN:
        pytest.skip(NOT_KNOWN[case, runtime[0]])
    changes, script = FOREIGN[case]
    bundle = foreign(script, **changes)
    peer = runtime[1](bundle)
    assert peer.stdout.strip()
    spec, args = read_bundle(bundle)
    own = here(args, spec)
    if case == "few mounts":  # a box has a /dev and a /tmp, whoever asks
        assert set(own.stdout.split()) >= set(peer.stdout.split())
    else:
        assert own.stdout == peer.stdout


def test_a_bundle_of_a_runtimes_is_written_again_and_says_the_same(foreign, runtime, tmp_path):
    name, runs_it = runtime
    spec, args = read_bundle(foreign("hostname; ulimit -n; echo $TERM; ls /dev | grep -v core"))
    peer = runs_it(write_bundle(tmp_path / "again", spec, args))
    assert peer.stdout.startswith(f"{name}\n1024\nxterm\n")
    assert here(args, spec).stdout == peer.stdout


# What umoci unpacks.


def unpacked(tmp_path, layout, tag):
    """The bundle that umoci makes of an image; its terminal, which is nobody's here, left out."""
    if (umoci := shutil.which("umoci")) is None:
        pytest.skip("needs umoci (Debian: umoci)")
    bundle = tmp_path / "unpacked"
    command = [umoci, "unpack", "--image", f"{layout}:{tag}", bundle]
    subprocess.run(command, check=True, capture_output=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


LOOK_AROUND = ["/bin/sh", "-c", f"echo $LAYER; hostname; pwd; {OF_ANYBODY}; ls / /data"]


def check_says_the_same(bundle, runc, beginning):
    peer = runc(bundle)
    assert peer.stdout.startswith(beginning)
    spec, args = read_bundle(bundle)
    own = here(args, spec)
    assert set(own.stdout.split()) - {"tmp"} == set(peer.stdout.split())


def test_a_bundle_of_umocis_says_the_same_here(tree, runc, tmp_path):
    env = {"LAYER": "one", "PATH": "/bin"}
    with nsbox.Image.build(tree, cmd=LOOK_AROUND, env=env, user="12:34", workdir="/data") as image:
        image.save(tmp_path / "layout", reference="one")
    bundle = unpacked(tmp_path, tmp_path / "layout", "one")
    check_says_the_same(bundle, runc, "one\numoci-default\n/data\n")


def test_a_bundle_of_an_image_of_buildahs_says_the_same_here(tree, runc, tmp_path):
    if (buildah := shutil.which("buildah")) is None:
        pytest.skip("needs buildah (Debian: buildah)")
    roots = "--root", tmp_path / "storage", "--runroot", tmp_path / "run"

    def call(*args):
        command = [buildah, "--storage-driver", "vfs", *roots, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    container = call("from", "scratch")
    call("copy", "-q", container, tree)
    call("config", "--cmd", json.dumps(LOOK_AROUND), "--env", "LAYER=two", container)
    call("config", "--env", "PATH=/bin", container)
    call("commit", "-q", "--disable-compression=false", container, f"oci:{tmp_path}/layout:two")
    call("rm", container)
    bundle = unpacked(tmp_path, tmp_path / "layout", "two")
    check_says_the_same(bundle, runc, "two\numoci-default\n/\n")
