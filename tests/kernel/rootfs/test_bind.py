"""Files and folders of the host in a box: flags, what is mounted below, whose they are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox
from nsbox import Choice, IDMap, Mount, NamespaceType, RootFS

pytestmark = pytest.mark.guest

Shell = Callable[..., nsbox.CompletedProcess]


def test_each_flag_of_a_bind_is_there_or_not(tree: Path, canary: Path, sh: Shell) -> None:
    for nosuid, nodev, noexec in ((True, True, False), (False, False, True)):
        mount = Mount.bind(canary, "/canary", nosuid=nosuid, nodev=nodev, noexec=noexec)
        rootfs = RootFS.directory(tree, readonly=True).with_mounts(mount)
        lines = sh("/bin/busybox cat /proc/self/mounts", rootfs).stdout.splitlines()
        options = next(line.split()[3] for line in lines if " /canary " in line).split(",")
        for flag, wished in (("nosuid", nosuid), ("nodev", nodev), ("noexec", noexec)):
            if wished or os.geteuid() == 0:  # what a user namespace has inherited is locked
                assert (flag in options) is wished, flag


BELOW = """
import subprocess, sys, nsbox
from nsbox import BoxSpec, Mount, RootFS
subprocess.run(["mount", "-t", "tmpfs", "below", sys.argv[1] + "/below"], check=True)
open(sys.argv[1] + "/below/file", "w").write("seen")
for recursive in (True, False):
    for readonly in (True, False):
        mount = Mount.bind(sys.argv[1], "/data", recursive=recursive, readonly=readonly)
        script = "ls /data/below; echo x 2>&- > /data/below/new && echo written"
        spec = BoxSpec(rootfs=RootFS.system().with_mounts(mount))
        done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True)
        print(recursive, readonly, *done.stdout.split())
"""


def test_a_bind_with_and_without_what_is_mounted_below(
    apart: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    assert apart(BELOW, tmp_path).splitlines() == [
        "True True file",  # read only all the way down
        "True False file written",
        "False True",
        "False False written",
    ]
    assert os.listdir(tmp_path / "below") == ["new"]


PROPAGATION = """
import subprocess, sys, nsbox
from nsbox import BoxSpec, Mount, RootFS, Security
source, how = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "source", source], check=True)
subprocess.run(["mount", "--make-shared", source], check=True)
for name in ("host", "box"):
    subprocess.run(["mkdir", f"{source}/{name}"], check=True)
rootfs = RootFS.system().with_mounts(Mount.bind(source, "/data", propagation=how))
with BoxSpec(rootfs=rootfs, security=Security.privileged()).start() as box:
    subprocess.run(["mount", "-t", "tmpfs", "late", f"{source}/host"], check=True)
    open(f"{source}/host/file", "w").write("from the host")
    print(box.run(["ls", "/data/host"], capture_output=True, text=True).stdout.split())
    box.run(["mount", "-t", "tmpfs", "late", "/data/box"], check=True)
    box.run(["touch", "/data/box/file"], check=True)
    print(subprocess.run(["ls", f"{source}/box"], capture_output=True, text=True).stdout.split())
"""


@pytest.mark.usefixtures("mount_calls")
@pytest.mark.parametrize(
    ("how", "in_box", "on_host"),
    [("private", [], []), ("slave", ["file"], []), ("shared", ["file"], ["file"])],
)
def test_later_mounts_spread_as_asked(
    apart: Callable[..., str],
    tmp_path: Path,
    how: str,
    in_box: list[str],
    on_host: list[str],
) -> None:
    assert apart(PROPAGATION, tmp_path, how).splitlines() == [str(in_box), str(on_host)]


def test_an_idmap_shows_files_as_anothers(
    mount_calls: None, root: None, tree: Path, tmp_path: Path, sh: Shell
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("of 4321\n")
    for path in (data, data / "file"):
        os.chown(path, 4321, 4321)
    idmap = IDMap.ranges([(4321, 0, 1)], uid=4321, gid=4321)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(data, "/data", idmap=idmap), Mount.bind(data, "/plain")
    )
    script = "/bin/busybox stat -c %u:%g /data/file /plain/file; echo made > /data/new"
    assert sh(script, rootfs).stdout == "0:0\n4321:4321\n"
    made = (data / "new").stat()
    assert (made.st_uid, made.st_gid) == (4321, 4321)


def test_an_idmap_takes_the_hosts_rights(tree: Path, tmp_path: Path, sh: Shell) -> None:
    idmap = IDMap.ranges([(0, 100000, 1)])
    rootfs = RootFS.directory(tree).with_mounts(Mount.bind(tmp_path, "/data", idmap=idmap))
    users = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
    with pytest.raises(nsbox.UnsupportedError, match="idmap"):
        sh("true", rootfs, namespaces=users)
