"""What is mounted in a root: each kind, in the order given."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox
from nsbox import Mount, RootFS

pytestmark = pytest.mark.guest

Shell = Callable[..., nsbox.CompletedProcess]
Look = Callable[[Path], object]


def test_a_mount_inside_of_another_may_be_named_by_a_link(tree: Path, sh: Shell) -> None:
    (tree / "var").mkdir()
    (tree / "var/run").symlink_to("/run")
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.tmpfs("/run"), Mount.file("/var/run/app/state", "by another name\n")
    )
    assert sh("cat /run/app/state", rootfs).stdout == "by another name\n"


def test_a_file_where_there_was_none_can_be_replaced(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.file("/etc/motd", "first\n"), Mount.file("/etc/motd", "second\n")
    )
    assert sh("cat /etc/motd", rootfs).stdout == "second\n"


def test_mounts_come_in_order_later_over_earlier(tree: Path, tmp_path: Path, sh: Shell) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tmp_path / "one", "/data"),
        Mount.bind(tmp_path / "two", "/data"),
        Mount.tmpfs("/outer"),
        Mount.bind(tmp_path / "one", "/outer/inner"),
    )
    done = sh("/bin/busybox cat /data/name /outer/inner/name", rootfs)
    assert done.stdout == "twoone"


def test_a_readonly_bind_cannot_be_written_to(tree: Path, canary: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(canary, "/canary", readonly=True)
    )
    assert sh("/bin/busybox cat /canary/file", rootfs).stdout == "untouched\n"
    for script in ("echo x > /canary/file", "echo x > /canary/new", "/bin/busybox rm /canary/file"):
        assert sh(script, rootfs).returncode != 0


LOOK = "cd /data; /bin/busybox stat -c '%n %a %h' . sub one two link; /bin/busybox cat one sub/deep"


@pytest.mark.parametrize("kind", ["writable", "readonly", "overlay"])
def test_a_file_system_in_memory_can_begin_with_what_the_folder_has(
    kind: str, tree: Path, sh: Shell
) -> None:
    data = tree / "data"
    (data / "sub").mkdir(parents=True)
    (data / "one").write_text("one\n")
    (data / "two").hardlink_to(data / "one")
    (data / "sub/deep").write_text("deep\n")
    (data / "link").symlink_to("/etc/shadow")
    (data / "one").chmod(0o640)
    data.chmod(0o750)
    root = {
        "writable": RootFS.directory(tree),
        "readonly": RootFS.directory(tree, readonly=True),
        "overlay": RootFS.overlay(tree),
    }[kind]
    copied = root.with_mounts(Mount.tmpfs("/data", copy_up=True))
    done = sh(f"{LOOK}; echo new > /data/one; /bin/busybox cat /data/two; ls -a /data", copied)
    assert done.stdout.splitlines() == [
        *(". 750 3", "sub 755 2", "one 640 2", "two 640 2", "link 777 1", "one", "deep", "new"),
        *(".", "..", "link", "one", "sub", "two"),
    ]
    assert (data / "one").read_text() == "one\n"
    chosen = root.with_mounts(Mount.tmpfs("/data", copy_up=True, mode=0o711))
    assert sh(LOOK, chosen).stdout.startswith(". 711 3")


def test_a_copy_takes_along_what_is_mounted_there_and_follows_no_link_out(
    tree: Path, canary: Path, sh: Shell
) -> None:
    (tree / "data").symlink_to(canary)
    rootfs = RootFS.directory(tree).with_mounts(
        Mount.file("/srv/sub/file", "mounted\n"), Mount.tmpfs("/srv", copy_up=True)
    )
    assert sh("/bin/busybox cat /srv/sub/file", rootfs).stdout == "mounted\n"
    outside = RootFS.directory(tree).with_mounts(Mount.tmpfs("/data", copy_up=True))
    with pytest.raises(FileNotFoundError, match="leads nowhere"):
        sh("/bin/busybox cat /data/file", outside)
    empty = RootFS.directory(tree).with_mounts(Mount.tmpfs("/none/such", copy_up=True))
    assert sh("ls -a /none/such", empty).stdout == ".\n..\n"


def test_a_copy_that_is_too_large_is_told_with_a_hint(tree: Path) -> None:
    (tree / "data").mkdir()
    (tree / "data/large").write_bytes(b"x" * (1 << 17))
    rootfs = RootFS.directory(tree).with_mounts(Mount.tmpfs("/data", size="64K", copy_up=True))
    with pytest.raises(nsbox.StepError, match="size of the new file system"):
        nsbox.run(["/bin/true"], nsbox.BoxSpec(rootfs=rootfs))


def test_noexec_is_kept(tree: Path, tmp_path: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tree / "bin", "/programs", noexec=True)
    )
    assert sh("/programs/busybox true", rootfs).returncode == 126


def test_a_tmpfs_has_its_size(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.tmpfs("/small", size="64K"))
    script = "/bin/busybox head -c 100000 /dev/zero > /small/file"
    assert sh(script, rootfs).returncode != 0
    assert sh("/bin/busybox head -c 1000 /dev/zero > /small/file", rootfs).returncode == 0


def test_a_missing_source_is_named_before_anything_is_made(
    tree: Path, tmp_path: Path, sh: Shell
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match="missing") as caught:
        sh("true", RootFS.directory(tree).with_mounts(Mount.bind(missing, "/data")))
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name in ("open_tree", "mount")
    assert sorted(os.listdir(tree)) == ["bin", "srv"]


def test_a_mount_point_that_cannot_be_made_is_named(tree: Path, tmp_path: Path, sh: Shell) -> None:
    (tmp_path / "data").mkdir()
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tmp_path / "data", "/data", readonly=True), Mount.tmpfs("/data/missing")
    )
    with pytest.raises(OSError, match="read-only") as caught:
        sh("true", rootfs)
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "mkdirat"


def test_a_symlink_is_put_into_any_root(tree: Path, sh: Shell, snapshot: Look) -> None:
    links = [Mount.symlink("/a/link", "../srv/index.html"), Mount.symlink("/tmp/x", "/srv")]
    before = snapshot(tree)
    script = "/bin/busybox cat /a/link; /bin/busybox readlink /tmp/x"
    for rootfs in (RootFS.directory(tree, readonly=True), RootFS.overlay(tree)):
        for _ in range(2):
            assert sh(script, rootfs.with_mounts(*links)).stdout == "It works\n/srv\n"
    assert snapshot(tree) == before
    for _ in range(2):  # a folder that is kept has it from the last time
        rootfs = RootFS.directory(tree).with_mounts(*links)
        assert sh(script, rootfs).stdout == "It works\n/srv\n"


def test_what_is_masked_is_hidden_and_what_is_read_only_stays(tree: Path, sh: Shell) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/shadow").write_text("secret\n")
    rootfs = RootFS.directory(tree).with_mounts(
        Mount.masked("/etc/shadow"),
        Mount.masked("/srv"),
        Mount.masked("/no/such/thing"),
        Mount.readonly_path("/bin"),
    )
    assert sh("/bin/busybox cat /etc/shadow; /bin/busybox ls /srv", rootfs).stdout == ""
    for script in ("echo x > /srv/x", "echo x > /bin/x"):
        assert sh(script, rootfs).returncode != 0, script
    assert sh("echo x > /etc/x", rootfs).returncode == 0
    assert not (tree / "no").exists()


def test_a_path_to_be_read_only_must_be_there(tree: Path, sh: Shell) -> None:
    with pytest.raises(FileNotFoundError, match="no/such"):
        sh("true", RootFS.directory(tree).with_mounts(Mount.readonly_path("/no/such")))


def test_a_secret_is_in_memory_read_only_and_in_no_message(tree: Path, sh: Shell) -> None:
    word = "do-not-tell-anybody"
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.secret("/run/key", word))
    done = sh("cat /run/key; busybox stat -c ' %a' /run/key; echo x > /run/key", rootfs)
    assert done.stdout == f"{word} 400\n"
    assert done.returncode != 0
    mounts = sh("/bin/busybox cat /proc/self/mountinfo", rootfs).stdout.splitlines()
    line = next(line for line in mounts if " /run/key " in line)
    assert " - tmpfs " in line
    assert line.split()[5].startswith("ro,nosuid,nodev,noexec")
    spec = nsbox.BoxSpec(rootfs=rootfs)
    plan = spec.plan(["true"])
    for told in (repr(spec), str(plan), repr(list(plan))):
        assert word not in told
    bad = rootfs.with_mounts(Mount.secret("/srv/index.html/x", word))
    with pytest.raises((nsbox.StepError, ValueError)) as caught:
        sh("true", bad)
    assert word not in f"{caught.value}{caught.value!r}"


def test_a_proc_of_processes_alone(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.proc(subset="pid", hidepid="invisible")
    )
    names = sh("/bin/busybox ls /proc", rootfs).stdout.split()
    assert "self" in names
    assert not {"sys", "kcore", "meminfo"} & set(names)


def test_the_kernels_objects_are_read_only(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.sysfs())
    assert sh("/bin/busybox ls /sys/class/net", rootfs).stdout == "lo\n"
    assert sh("echo 1 > /sys/class/net/lo/mtu", rootfs).returncode != 0


def test_cgroup_trees_are_seen_from_the_boxs_own_group_and_read_only(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.cgroup("/cg"))
    done = sh("PATH=/bin; busybox ls -R /cg | busybox grep -c cgroup.procs", rootfs)
    assert int(done.stdout) >= 1, done.stderr
    script = "for d in /cg /cg/*/; do /bin/busybox mkdir $d/escape 2>&- && echo made; done"
    assert sh(script, rootfs).stdout == ""
    mounts = sh("/bin/busybox grep ' /cg' /proc/self/mounts", rootfs).stdout.splitlines()
    assert mounts
    assert all(line.split()[3].startswith("ro") for line in mounts)


def test_terminals_and_message_queues_of_ones_own(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.tmpfs("/run"), Mount.devpts("/run/pts"), Mount.mqueue("/run/mqueue")
    )
    done = sh("/bin/busybox ls /run/pts; busybox touch /run/mqueue/q", rootfs)
    assert (done.stdout, done.returncode) == ("ptmx\n", 0), done.stderr
