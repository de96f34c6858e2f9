"""A box made ahead against one made on demand: whatever can be looked at is the same in both."""

import re
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec, Choice, Mount, NamespaceType, Pool, Process, Resources, RootFS, Security

LOOK = r"""
echo '== status'; cat /proc/self/status
echo '== status of process 1'; cat /proc/1/status
echo '== status of what the shell is'; cat /proc/$$/status
echo '== ids'; id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
echo '== session'; cut -d' ' -f4-8,18,19,40,41 /proc/self/stat; cat /proc/self/timerslack_ns
cat /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/loginuid; umask; pwd
echo '== limits'; cat /proc/self/limits
echo '== cgroup'; cat /proc/self/cgroup
echo '== mounts'; cat /proc/self/mountinfo
echo '== environment'; tr '\0' '\n' </proc/$$/environ; tr '\0' '\n' </proc/$$/cmdline
echo '== descriptors'; ls -l /proc/$$/fd | tr -s ' ' | cut -d' ' -f1,9-
echo '== devices'; stat -c '%n %A %t:%T %u:%g %N' /dev /dev/* /dev/*/*
echo '== folders'; stat -c '%n %A %u:%g' / /* /tmp/* /etc/* 2>&1
echo '== names'; uname -a; hostname; cat /proc/sys/kernel/domainname
echo '== network'; cut -d: -f1 /proc/net/dev; cat /proc/net/route /proc/net/if_inet6; ls /proc/sys/net/ipv4/conf
echo '== ipc'; cat /proc/sysvipc/* ; cat /proc/sys/kernel/shmmax
echo '== keys'; cut -c25- /proc/keys
echo '== processes'; for p in /proc/[0-9]*; do cat $p/comm; done; ls /proc
echo '== what is refused'
unshare -U true; unshare -m true; mount -t tmpfs none /tmp; umount /proc; chroot / true; mkdir /usr/x
echo x >/proc/sys/kernel/hostname; ls /proc/1/root; cat /proc/1/fd/4; kill -9 1; cat /proc/1/environ
cp /bin/true /tmp/program; /tmp/program; echo $?; cat /proc/kcore /proc/timer_list | wc -c
nice -n -5 true; chown 12 /tmp/program; mknod /tmp/device c 1 3; sh -c 'ulimit -n 100000000'
ls /sys /home /root /run /var; rm -f /tmp/program
"""
NAMESPACES = "for kind in /proc/self/ns/*; do readlink $kind; done"
LIMITS = (
    *("cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.max", "cpu.shares", "cpu.weight"),
    *("cpuset.cpus", "cpuset.mems", "devices.list", "freezer.state", "cgroup.freeze"),
    *("cgroup.type", "cgroup.subtree_control", "cgroup.max.depth", "notify_on_release"),
    *("memory.high", "memory.limit_in_bytes", "memory.max", "memory.memsw.limit_in_bytes"),
    *("memory.min", "memory.oom.group", "memory.oom_control", "memory.soft_limit_in_bytes"),
    *("memory.swap.max", "memory.swappiness", "memory.use_hierarchy", "pids.max", "io.max"),
)
"""What a group is told; all else in it is counted."""

SPECS = {
    "defaults": BoxSpec(),
    "all that is given": BoxSpec(
        hostname="ahead",
        domainname="nis",
        sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmax": "1000000"},
        env={"PATH": "/usr/sbin:/usr/bin", "A": "b c"},
        cwd="/tmp",
        umask=0o027,
        nice=3,
        scheduler="batch",
        oom_score_adj=500,
        rootfs=RootFS.system().with_mounts(
            Mount.bind("/usr", "/shown", readonly=True), Mount.tmpfs("/var")
        ),
        security=Security(rlimits={"nofile": (64, 128), "core": 0}),
    ),
    "the host's network, a user namespace": BoxSpec(
        namespaces=nsbox.ISOLATED | {NamespaceType.NET: Choice.HOST, NamespaceType.USER: Choice.NEW}
    ),
}
LIMITED = BoxSpec(resources=Resources(memory_max="64M", pids_max=30, cpu_max=0.5))


def normalised(text: str) -> list[str]:
    """Leave out what no two boxes have in common: numbers of things, and what is counted."""
    return [_normalised(line) for line in text.splitlines() if not COUNTED.match(line)]


COUNTED = re.compile(r"Vm|Rss|Hugetlb|State|\w*voluntary_ctxt|SigQ")


def _normalised(line: str) -> str:
    if re.match(r"\d+ \d+ \d+:\d+ /", line):  # see proc_pid_mountinfo(5)
        _, _, device, *rest = line.split(" ")
        line = " ".join([re.sub(r"^0:.*", "0:", device), *rest])
    line = re.sub(r"(pipe|socket|shared|master):\[?\d+\]?", r"\1:", line)
    return re.sub(r"nsbox-[\w-]+-\d{8}", "nsbox-", line)


def seen(process: Process) -> dict[str, Any]:
    """Look at a box from inside, and at its groups from outside."""
    assert process.stdout is not None
    text = "".join(iter(process.stdout.readline, "==\n"))
    look, namespaces = text.split("== namespaces\n")
    return {
        "look": normalised(look),
        "namespaces": namespaces.split(),
        "groups": limits_of(process.pid),
    }


def limits_of(pid: int) -> dict[str, str]:
    with nsbox.Task(pid) as task:
        folders = {
            name: path for name, one in task.cgroups.items() for path in one.folders.values()
        }
    return {
        f"{name}: {limit}": Path(folder, limit).read_text()
        for name, folder in folders.items()
        for limit in LIMITS
        if Path(folder, limit).exists()
    }


def compare(ahead: Process, on_demand: Process) -> None:
    """Compare two that are alive at once: numbers of namespaces are used again."""
    first, second = seen(ahead), seen(on_demand)
    assert first["look"] == second["look"]
    assert "NoNewPrivs:\t1" in first["look"]
    assert first["groups"] == second["groups"]
    own = {readlink(path) for path in Path("/proc/self/ns").iterdir()}
    assert len(first["namespaces"]) == len(second["namespaces"]) > 6
    for one, other in zip(first["namespaces"], second["namespaces"], strict=True):
        assert (one == other) == (one in own) == (other in own)
    for process in (ahead, on_demand):
        process.communicate("")
        assert process.returncode == 0
        assert process.usage is not None
    assert told(ahead) == told(on_demand)


def told(process: Process) -> Any:
    usage = process.usage
    assert usage is not None
    return usage.memory_peak is not None, usage.oom_killed, usage.wall_seconds > 0


def readlink(path: Path) -> str:
    return str(path.readlink())


SHOW: Any = ["sh", "-c", f"({LOOK}) 2>&1; echo; echo '== namespaces'; {NAMESPACES}; echo ==; cat"]
STREAMS: Any = {"stdin": nsbox.PIPE, "stdout": nsbox.PIPE, "text": True}


def check(spec: BoxSpec) -> None:
    nsbox.run(["true"], spec)  # the first box of a spec makes its own root, the others copy one
    with Pool(spec, size=1) as pool:
        assert pool.fill(60)
        (waiting,) = pool._stock.ready
        with (
            pool.popen(SHOW, **STREAMS) as ahead,
            nsbox.popen(SHOW, spec, **STREAMS) as on_demand,
        ):
            assert ahead.pid == waiting.launched.pid  # type: ignore[union-attr]
            compare(ahead, on_demand)


def check_start(spec: BoxSpec) -> None:
    spec.start().close()
    with Pool(spec, size=1, stays=True) as pool:
        assert pool.fill(60)
        (waiting,) = pool._stock.ready
        with (
            pool.start() as ahead,
            spec.start() as on_demand,
            ahead.popen(SHOW, **STREAMS) as first,
            on_demand.popen(SHOW, **STREAMS) as second,
        ):
            assert ahead is waiting.box  # type: ignore[union-attr]
            compare(first, second)


kinds = pytest.mark.parametrize("check", [check, check_start], ids=["command", "stays"])


@kinds
@pytest.mark.parametrize("name", SPECS)
def test_a_box_made_ahead_is_as_one_made_on_demand(check: Any, name: str) -> None:
    check(SPECS[name])


@kinds
def test_so_it_is_with_limits(check: Any) -> None:
    report = nsbox.probe().cgroups
    if not report.writable:
        pytest.skip(f"needs cgroups to write to: {report.reason}")
    missing = {"memory", "pids", "cpu"} - set(nsbox.subsystems())
    if missing:
        pytest.skip(f"needs subsystems in a hierarchy: {missing}")
    check(LIMITED)


@kinds
def test_so_it_is_for_untrusted_programs(check: Any, strict: BoxSpec) -> None:
    check(strict)
