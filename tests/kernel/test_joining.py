"""A box with namespaces that are there already: every combination that the kernel allows."""

import os
import subprocess
import sys
import time

import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, Namespace, NamespaceType

pytestmark = pytest.mark.usefixtures("root")
CGROUP, IPC, MNT, NET = (NamespaceType[name] for name in ("CGROUP", "IPC", "MNT", "NET"))
PID, TIME, USER, UTS = (NamespaceType[name] for name in ("PID", "TIME", "USER", "UTS"))
every_kind = pytest.mark.parametrize("kind", NamespaceType, ids=lambda kind: kind.proc_name)
WHERE = "cd /proc/self/ns && readlink " + " ".join(kind.proc_name for kind in NamespaceType)
HERE = {kind: str(Namespace.current(kind)) for kind in NamespaceType}


def inside(chosen, script=WHERE, **fields):
    """Where a command of a box is: its namespaces by kind."""
    spec = BoxSpec(namespaces=chosen, **fields)
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(zip(NamespaceType, done.stdout.split(), strict=True))


def sh(chosen, script, **fields):
    spec = BoxSpec(namespaces=chosen, **fields)
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made():
    """One namespace of each kind, of the caller's."""
    namespaces = {kind: Namespace.create(kind) for kind in NamespaceType}
    yield namespaces
    for namespace in namespaces.values():
        namespace.close()


def check(chosen, made, found):
    for kind in NamespaceType:
        choice = chosen.get(kind, Choice.HOST)
        if choice is Choice.NEW:
            assert found[kind] not in (HERE[kind], str(made[kind])), kind
        else:
            assert found[kind] == (HERE[kind] if choice is Choice.HOST else str(choice)), kind


USERS = ("host", "new", "joined")
WAYS = ("host", "new", "joined")


def choice_of(way, kind, made):
    return made[kind] if way == "joined" else Choice(way)


@pytest.mark.parametrize("user", USERS, ids=lambda user: f"user-{user}")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "kind", [kind for kind in NamespaceType if kind is not USER], ids=lambda kind: kind.proc_name
)
def test_each_kind_is_new_or_the_hosts_or_joined_in_each_user_namespace(kind, way, user, made):
    chosen = nsbox.ISOLATED | {kind: choice_of(way, kind, made), USER: choice_of(user, USER, made)}
    if kind is PID and way != "new" and user != "host":
        with pytest.raises(PermissionError, match="the pid namespace is new"):
            inside(chosen)
        chosen |= {MNT: Choice.HOST}  # where no /proc has to be mounted
    check(chosen, made, inside(chosen))


@pytest.mark.parametrize("user", USERS)
def test_all_kinds_at_once_are_joined(user, made):
    chosen = {**made, USER: choice_of(user, USER, made)}
    check(chosen, made, inside(chosen))


@every_kind
def test_one_kind_alone_is_joined(kind, made):
    check({kind: made[kind]}, made, inside({kind: made[kind]}))


def test_what_is_given_leaves_the_caller_where_it_was(made):
    inside(made)
    assert {kind: str(Namespace.current(kind)) for kind in NamespaceType} == HERE


def test_a_path_is_as_good_as_a_handle():
    with BoxSpec(hostname="theirs").start() as box:
        paths = {kind: f"/proc/{box.pid}/ns/{kind.proc_name}" for kind in (UTS, NET, IPC)}
        found = inside(nsbox.ISOLATED | paths)
        for kind in paths:
            assert found[kind] == str(Namespace.of(box.pid, kind))
        assert sh(nsbox.ISOLATED | {UTS: paths[UTS]}, "hostname") == "theirs\n"


def test_the_namespaces_of_a_box_are_joined_from_outside_all_at_once():
    spec = BoxSpec(hostname="theirs", namespaces=nsbox.ISOLATED | {USER: Choice.NEW})
    with spec.start() as box:
        box.run(["sh", "-c", "echo here > /tmp/file"], check=True)
        chosen = dict(box.namespaces)
        chosen[TIME] = Choice.HOST
        found = inside(chosen, f"cat /tmp/file > /dev/null; {WHERE}")
        assert found == {kind: str(n) for kind, n in box.namespaces.items()}


def test_another_process_of_the_hosts_is_joined():
    with subprocess.Popen(["unshare", "--uts", "--net", "sleep", "60"]) as process:
        try:
            deadline = time.monotonic() + 60
            while str(Namespace.of(process, NET)) == HERE[NET]:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            chosen = {kind: Namespace.of(process, kind) for kind in (UTS, NET)}
            found = inside(nsbox.ISOLATED | chosen)
            assert {kind: found[kind] for kind in chosen} == {k: str(n) for k, n in chosen.items()}
        finally:
            process.kill()


def test_a_box_in_a_pid_namespace_sees_it_and_only_it(made):
    script = "echo $$; ls -d /proc/[0-9]* | wc -l; readlink /proc/self"
    chosen = nsbox.ISOLATED | {PID: made[PID]}
    own, count, seen = map(int, sh(chosen, script).split())
    assert own > 1
    assert seen > own
    assert count < 10


@pytest.mark.parametrize("mounts", [Choice.NEW, Choice.HOST], ids=repr)
@pytest.mark.parametrize(
    "script", ["sleep 60 & exec sleep 0.1", "setsid sleep 60 & :", "(sleep 60 &); exec sleep 0.1"]
)
def test_nothing_outlives_a_box_in_a_pid_namespace(script, mounts, made):
    before = made[PID].pids()
    sh(nsbox.ISOLATED | {PID: made[PID], MNT: mounts}, f"({script}) >/dev/null 2>&1")
    assert made[PID].pids() == before


@pytest.mark.parametrize("mounts", [Choice.NEW, Choice.HOST], ids=repr)
def test_a_timeout_ends_a_box_in_a_pid_namespace(mounts, made):
    before = made[PID].pids()
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {PID: made[PID], MNT: mounts})
    with pytest.raises(subprocess.TimeoutExpired):
        nsbox.run(["sh", "-c", "sleep 60 & sleep 60"], spec, timeout=0.5)
    assert made[PID].pids() == before


def test_the_end_of_the_owner_ends_a_box_in_a_pid_namespace(made):
    """The box's owner is a program of the test's, killed without a chance to clean up."""
    script = f"""
import nsbox
from nsbox import NamespaceType
kinds = nsbox.ISOLATED | {{NamespaceType.PID: "/proc/{made[PID].pids()[0]}/ns/pid",
                           NamespaceType.MNT: nsbox.Choice.HOST}}
nsbox.run(["sh", "-c", "echo ready; sleep 60 & sleep 60"], nsbox.BoxSpec(namespaces=kinds))
"""
    before = made[PID].pids()
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()
    deadline = time.monotonic() + 60
    while made[PID].pids() != before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_mount_namespace_without_a_proc_of_this_pid_namespace_is_joined():
    """Where /proc is of no use, or set up to deceive: the maps of the new user namespace are
    written by the caller's."""
    with BoxSpec().start() as box:
        mounts = Namespace.of(box.pid, MNT)
        assert sh({MNT: mounts, USER: Choice.NEW}, "id -u; ls /proc/self 2>&1 || :")
        found = sh({MNT: mounts, USER: Choice.NEW}, "cat /proc/1/comm; id -u").split()
        assert found == ["nsbox-init", "0"]


def test_clocks_are_joined_with_their_offsets():
    with Namespace.create(TIME, boottime=86400 * 365) as clocks:
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        uptime = float(sh(nsbox.ISOLATED | {TIME: clocks}, "cut -d' ' -f1 /proc/uptime"))
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before - 0.01 <= uptime - 86400 * 365 <= after  # of which it tells the hundredths


def test_ranges_make_a_user_namespace_for_the_box():
    ranges = [(0, 100000, 1000), (5000, 200000, 10)]
    script = "id -u; id -g; cat /proc/self/uid_map; cat /proc/self/setgroups"
    told = sh(nsbox.ISOLATED, script, id_map=IDMap.ranges(ranges, [(0, 300000, 10)])).split()
    assert told == ["0", "0", "0", "100000", "1000", "5000", "200000", "10", "allow"]
    told = sh(nsbox.ISOLATED, "id -u; id -g", id_map=IDMap.ranges(ranges, uid=5003, gid=7))
    assert told.split() == ["5003", "7"]


def test_files_of_a_box_with_ranges_belong_to_ids_of_the_range(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 100000, 100000)
    os.chmod(tmp_path, 0o755)
    os.chmod(tmp_path.parent, 0o755)
    os.chmod(tmp_path.parent.parent, 0o755)
    root = nsbox.RootFS.system().with_mounts(nsbox.Mount.bind(shared, "/shared"))
    spec = BoxSpec(id_map=IDMap.ranges([(0, 100000, 1000)]), rootfs=root)
    script = "touch /shared/root; touch /shared/other; chown 42:42 /shared/other"
    nsbox.run(["sh", "-c", script], spec, check=True)
    assert (shared / "root").stat().st_uid == 100000
    assert (shared / "other").stat().st_uid == 100042
    assert (shared / "other").stat().st_gid == 100042


def test_a_user_namespace_with_ranges_is_joined_as_whom_the_spec_says():
    with Namespace.create(USER, id_map=IDMap.ranges([(0, 100000, 1000)])) as user:
        chosen = nsbox.ISOLATED | {USER: user}
        assert sh(chosen, "id -u; id -g; id -G").split() == ["0", "0", "0"]
        assert sh(chosen, "id -u; id -g", id_map=IDMap(7, gid=8)).split() == ["7", "8"]
        assert inside(chosen)[USER] == str(user)


@pytest.mark.parametrize("uid", [0, 5])
def test_a_box_that_is_not_root_in_its_ranges_is_built_all_the_same(uid):
    """Its starter is root in them, and gives that up by becoming another."""
    id_map = IDMap.ranges([(0, 0, 1000)], uid=uid, gid=uid)
    script = "id -u; id -g; grep CapEff /proc/self/status"
    told = sh(nsbox.ISOLATED, script, id_map=id_map, hostname="built").split()
    assert told[:2] == [str(uid)] * 2
    assert (int(told[3], 16) == 0) == (uid != 0)


def test_all_ids_can_be_mapped_as_they_are():
    with Namespace.create(USER, id_map=IDMap.ranges([(0, 0, 2**32 - 1)])) as user:
        assert sh(nsbox.ISOLATED | {USER: user}, "cat /proc/self/uid_map").split() == [
            "0",
            "0",
            "4294967295",
        ]
