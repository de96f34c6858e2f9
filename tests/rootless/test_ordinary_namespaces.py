"""Namespaces of a caller without any right: each is owned by a user namespace of the caller's."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from below import until

import nsbox
from nsbox import (
    BoxSpec,
    Choice,
    IDMap,
    Mount,
    Namespace,
    NamespaceType,
    RootFS,
    StepError,
    UnsupportedError,
)

pytestmark = pytest.mark.usefixtures("ordinary_user")
NET, PID, USER, UTS = (NamespaceType[name] for name in ("NET", "PID", "USER", "UTS"))
every_kind = pytest.mark.parametrize("kind", NamespaceType, ids=lambda kind: kind.proc_name)
with_ranges = pytest.mark.skipif(
    not nsbox.probe().newuidmap.ok, reason="needs newuidmap and ranges for this user: subuid(5)"
)


def sh(script, chosen, **fields):
    spec = BoxSpec(namespaces=nsbox.ISOLATED | chosen, **fields)
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@every_kind
def test_every_kind_is_made_and_owned_by_the_caller(kind):
    here = Namespace.current(kind)
    with Namespace.create(kind) as made:
        assert made.type is kind
        assert made != here == Namespace.current(kind)
        assert made.owner_uid == os.geteuid()
        owner = made.parent if kind is USER else made.user_namespace.parent
        assert owner == Namespace.current(USER)


@every_kind
def test_every_kind_is_joined_by_handle_and_by_path(kind):
    script = f"readlink /proc/self/ns/{kind.proc_name}"
    with Namespace.create(kind) as made:
        chosen = {kind: made}
        if kind is PID:  # of which a /proc can be mounted by who made it
            assert sh("echo $$; ls -d /proc/[0-9]* | wc -l", chosen)
        assert sh(script, chosen) == f"{made}\n"
        assert sh(script, {kind: f"/proc/{os.getpid()}/fd/{made.fileno()}"}) == f"{made}\n"


def test_with_the_callers_pids_its_proc_is_bound_as_the_hint_says():
    namespaces = nsbox.ISOLATED | {PID: Choice.HOST}
    with pytest.raises(StepError, match=r'pids of the caller, bind its own: Mount\.bind\("/proc"'):
        nsbox.run(["true"], BoxSpec(namespaces=namespaces))
    bound = RootFS.system().with_mounts(Mount.bind("/proc", "/proc"))
    shown = sh(f"cat /proc/{os.getpid()}/stat", {PID: Choice.HOST}, rootfs=bound)
    assert shown.startswith(f"{os.getpid()} (")


def test_all_namespaces_of_a_box_are_joined_from_outside():
    with BoxSpec(hostname="theirs").start() as box:
        box.run(["sh", "-c", "echo here > /tmp/file"], check=True)
        chosen = dict(box.namespaces)
        del chosen[NamespaceType.TIME]
        assert sh("cat /tmp/file; hostname; id -u", chosen) == "here\ntheirs\n0\n"


@pytest.mark.parametrize("id_map", [IDMap.same(), IDMap(7, gid=8)], ids=["same", "another"])
def test_who_the_caller_is_inside_is_its_to_choose(id_map):
    ids = [str(os.geteuid()), str(os.getegid())] if id_map.uid is None else ["7", "8"]
    with Namespace.create(NET, id_map=id_map) as made:
        assert sh("id -u; id -g; cat /proc/self/ns/net; :", {NET: made}, id_map=id_map)
        assert sh("id -u; id -g", {NET: made}, id_map=id_map).split() == ids


def test_an_id_that_is_not_mapped_is_refused_with_the_field_to_set():
    with (
        Namespace.create(NET, id_map=IDMap(7, gid=8)) as made,
        pytest.raises(StepError, match="id_map says who the command is to be"),
    ):
        sh("id", {NET: made})


def test_the_kernel_lets_an_ordinary_thread_enter_nothing_and_the_hint_says_what_does():
    for kind in (NET, UTS, PID, NamespaceType.MNT):
        with Namespace.create(kind) as made:
            before = Namespace.current(kind)
            with pytest.raises(PermissionError, match="starts a box that joins it") as caught:
                made.call(os.getpid)
            assert isinstance(caught.value, StepError)
            assert Namespace.current(kind) == before


def test_what_belongs_to_another_user_namespace_is_refused_with_the_reason():
    with Namespace.create(NET) as net, Namespace.create(USER) as unrelated:
        with pytest.raises(UnsupportedError, match="neither joined nor one whose rights"):
            sh("true", {NET: net, USER: unrelated})
        with pytest.raises(UnsupportedError, match="new user namespace has no rights there"):
            sh("true", {NET: net, USER: Choice.NEW})
        with pytest.raises(UnsupportedError, match="neither joined nor one whose rights"):
            sh("true", {NET: net, USER: Choice.HOST})


def test_what_is_the_hosts_is_had_by_choice_and_not_by_joining():
    with pytest.raises(UnsupportedError, match="takes CAP_SYS_ADMIN in the user namespace"):
        sh("true", {NET: Namespace.current(NET)})
    with pytest.raises(UnsupportedError, match=r"already.*Choice\.HOST"):
        sh("true", {USER: Namespace.current(USER)})
    assert sh("readlink /proc/self/ns/net", {NET: Choice.HOST}) == f"{Namespace.current(NET)}\n"


def test_two_namespaces_of_one_owner_are_joined_and_of_two_are_not():
    with BoxSpec().start() as box, Namespace.create(UTS) as other:
        one = {NET: box.namespaces[NET], UTS: box.namespaces[UTS]}
        assert sh("readlink /proc/self/ns/uts", one) == f"{box.namespaces[UTS]}\n"
        with pytest.raises(UnsupportedError, match="belongs to"):
            sh("true", one | {UTS: other})


def test_another_users_processes_are_not_ours_to_look_at():
    with pytest.raises(PermissionError):
        Namespace.of(1, NET)
    assert 1 not in Namespace.current(NET).pids()


def test_the_list_is_what_lsns_prints_to_this_user():
    def lsns():
        command = ["lsns", "--json", "--output", "NS,TYPE"]
        done = subprocess.run(command, capture_output=True, check=True)
        return {(entry["type"], entry["ns"]) for entry in json.loads(done.stdout)["namespaces"]}

    def listed():
        return {(n.type.proc_name, n.inode) for n in nsbox.namespaces()}

    with BoxSpec().start(), BoxSpec().start():
        until(lambda: lsns() == listed())  # other programs may come and go between two looks


def test_pinning_takes_a_mount_namespace_of_ones_own_and_leaves_no_file(tmp_path):
    with Namespace.create(NET) as made, pytest.raises(PermissionError, match="unshare -Urm"):
        made.pin(tmp_path / "pin")
    assert list(tmp_path.iterdir()) == []


def test_in_a_mount_namespace_of_ones_own_every_kind_is_pinned_opened_and_entered(tmp_path):
    script = f"""
    import os, subprocess, nsbox
    from pathlib import Path
    from nsbox import Namespace, NamespaceType
    for kind in NamespaceType:
        with Namespace.create(kind) as made:
            pin = made.pin(Path({str(tmp_path)!r}) / kind.proc_name)
            with Namespace.open(pin) as again:
                assert again == made and again.type is kind
            spec = nsbox.BoxSpec(namespaces={{kind: pin}})
            command = ["readlink", f"/proc/self/ns/{{kind.proc_name}}"]
            done = nsbox.run(command, spec, capture_output=True, text=True)
            assert done.stdout == f"{{made}}\\n", (done, made)
            if kind is NamespaceType.NET:
                seen = subprocess.run(
                    ["nsenter", f"--net={{pin}}", *command], capture_output=True, text=True
                )
                assert seen.stdout == done.stdout
                assert made.call(os.readlink, "/proc/thread-self/ns/net") == str(made)
            nsbox.unpin(pin)
    assert os.listdir({str(tmp_path)!r}) == []
    """
    # On one CPU: Linux 6.18 counts the age of namespaces for each by itself, and so may take a
    # younger mnt namespace for an older one, which it lets nobody pin.
    cpu = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "--cpu-list", cpu, "unshare", "--user", "--map-root-user", "--mount"]
    subprocess.run([*command, sys.executable, "-c", textwrap.dedent(script)], check=True)


@with_ranges
def test_subordinate_ids_are_mapped_by_newuidmap():
    assert sh("id -u; cat /proc/self/setgroups", {}, id_map=IDMap.subordinate()).split() == [
        "0",
        "allow",
    ]
    mapped = sh("cat /proc/self/uid_map", {}, id_map=IDMap.subordinate()).split("\n")
    assert mapped[0].split() == ["0", str(os.geteuid()), "1"]
    assert int(mapped[1].split()[2]) > 1
    script = "touch /tmp/file && chown 5:6 /tmp/file && stat -c %u:%g /tmp/file"
    assert sh(script, {}, id_map=IDMap.subordinate()) == "5:6\n"


@with_ranges
def test_a_user_namespace_with_subordinate_ids_is_made_held_and_joined():
    with Namespace.create(USER, id_map=IDMap.subordinate()) as user:
        assert user.owner_uid == os.geteuid()
        assert sh("id -u; id -g", {USER: user}).split() == ["0", "0"]
        assert sh("id -u; id -g", {USER: user}, id_map=IDMap(5, gid=6)).split() == ["5", "6"]


@with_ranges
def test_a_command_is_somebody_of_the_ranges():
    first = next(line for line in open_subid() if line.owner in owners())
    id_map = IDMap.ranges([(0, first.start, 10)], uid=3, gid=4)
    assert sh("id -u; id -g", {}, id_map=id_map).split() == ["3", "4"]


@with_ranges
def test_ids_that_are_not_granted_are_refused_before_newuidmap_is_asked():
    with pytest.raises(UnsupportedError, match=r"not this user's to map: /etc/subuid grants"):
        Namespace.create(USER, id_map=IDMap.ranges([(0, 1, 5)]))


def open_subid():
    from nsbox.procfs import parse_subid

    with open("/etc/subuid") as file:
        return parse_subid(file.read())


def owners():
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())
