"""Folders as roots: what is shown, what is kept out, what stays as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox
from nsbox import Mount, RootFS

pytestmark = pytest.mark.guest

Shell = Callable[..., nsbox.CompletedProcess]
Look = Callable[[Path], object]


def test_a_directory_is_all_there_is(tree: Path, tmp_path: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True)
    assert sh("cat /srv/index.html", rootfs).stdout == "It works\n"
    assert sh(f"ls {tmp_path}", rootfs).returncode != 0


def test_a_readonly_directory_is_left_as_it_is(tree: Path, sh: Shell, snapshot: Look) -> None:
    before = snapshot(tree)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.tmpfs("/srv/deep/er"), Mount.file("/etc/motd", "designed here\n"), Mount.tmpfs("/tmp")
    )
    script = "/bin/busybox cat /etc/motd /srv/index.html; echo x > /srv/deep/er/x && echo kept"
    assert sh(script, rootfs).stdout == "designed here\nIt works\nkept\n"
    assert sh("echo no > /srv/index.html", rootfs).returncode != 0
    assert sh("echo no > /new", rootfs).returncode != 0
    assert snapshot(tree) == before


def test_a_writable_directory_keeps_what_the_box_writes(tree: Path, sh: Shell) -> None:
    assert sh("echo kept > /srv/new", RootFS.directory(tree)).returncode == 0
    assert (tree / "srv/new").read_text() == "kept\n"


def test_a_missing_root_is_named(sh: Shell) -> None:
    for readonly in (True, False):
        with pytest.raises(FileNotFoundError, match="/no/such/tree"):
            sh("true", RootFS.directory("/no/such/tree", readonly=readonly))


def test_a_tree_that_changes_is_seen_by_the_next_box(tree: Path, sh: Shell) -> None:
    rootfs = RootFS.directory(tree, readonly=True)
    assert sh("/bin/busybox ls /", rootfs).stdout.split() == ["bin", "dev", "proc", "srv", "tmp"]
    (tree / "opt").mkdir()
    assert "opt" in sh("/bin/busybox ls /", rootfs).stdout.split()
