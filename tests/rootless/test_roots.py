"""Roots for a caller without rights: trees that are root's, and what an overlay cannot do then."""

import os
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Mount, RootFS

pytestmark = pytest.mark.usefixtures("ordinary_user")


def sh(script: str, rootfs: RootFS) -> "nsbox.CompletedProcess":
    command = ["sh", "-c", script]
    return nsbox.run(command, BoxSpec(rootfs=rootfs), capture_output=True, text=True, timeout=60)


def test_a_tree_of_roots_can_be_read_and_added_to(tmp_path: Path) -> None:
    lower, file = "/usr/share", "/usr/share/common-licenses/GPL-2"
    if not os.path.exists(file) or os.stat(lower).st_uid != 0:
        pytest.skip(f"needs a tree of root's with a known file in it: {file}")
    upper = tmp_path / "upper"
    rootfs = RootFS.system().with_mounts(Mount.overlay("/opt/share", lower, upper=upper))
    script = "cd /opt/share && head -c 0 common-licenses/GPL-2 && mkdir new && echo mine > new/file"
    assert sh(script, rootfs).returncode == 0
    assert (upper / "new/file").stat().st_uid == os.geteuid()
    # Its folders stay root's, whom the box does not know: only the mode says what others may.
    assert "Permission denied" in sh("rm /opt/share/common-licenses/GPL-2", rootfs).stderr
    assert os.listdir(tmp_path) == ["upper"]


def test_what_is_mounted_below_a_layer_makes_it_a_copy_and_the_plan_says_so() -> None:
    """The kernel lets nobody in a user namespace look below a mount that it has inherited."""
    if not os.path.ismount("/dev/pts"):
        pytest.skip("needs a folder with something mounted below: /dev/pts is none")
    rootfs = RootFS.system().with_mounts(Mount.overlay("/opt/dev", "/dev"))
    spec = BoxSpec(rootfs=rootfs)
    copied = [str(step) for step in spec.plan(["true"]) if step.name == "sendfile"]
    assert len(copied) == 1
    assert "in a user namespace, what is mounted on /dev/" in copied[0]
    done = sh("cd /opt/dev; readlink stdout; ls pts; echo x > new && cat new", rootfs)
    assert done.stdout == f"{os.readlink('/dev/stdout')}\nx\n"


def test_devices_are_the_hosts_and_work() -> None:
    done = sh(
        "head -c 3 /dev/zero | wc -c; echo x > /dev/null && chmod 600 /dev/null", RootFS.system()
    )
    assert done.stdout == "3\n"
    assert "Read-only file system" in done.stderr


def test_a_root_can_be_mounted_without_rights(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("below")
    with RootFS.overlay(tmp_path / "tree").mounted() as root:
        (root / "file").write_text("above")
        assert (root / "file").stat().st_uid == os.geteuid()
        (root / "file").unlink()
        assert os.listdir(root) == []
    assert (tmp_path / "tree/file").read_text() == "below"
