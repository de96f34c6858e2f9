"""Folders as roots: what is shown, what is kept out, what stays as it was."""

import os
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


@pytest.mark.parametrize(
    ("id_map", "shown"),
    [(None, "999 998"), ([(0, 0, 1000)], "999 998"), ([(5, 999, 1), (0, 0, 1)], "5 0")],
    ids=["none", "same", "some"],
)
def test_a_folder_that_is_opened_up_stays_its_owners(
    root: None, tree: Path, sh: Shell, id_map: list[tuple[int, int, int]] | None, shown: str
) -> None:
    """As far as the box knows the owner: else it is the box's root's."""
    (tree / "state").mkdir(mode=0o700)
    for folder in (tree, tree / "state"):
        os.chown(folder, 999, 998)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.tmpfs("/state/run"))
    spec = {}
    if id_map is not None:
        users = nsbox.ISOLATED | {nsbox.NamespaceType.USER: nsbox.Choice.NEW}
        spec = {"namespaces": users, "id_map": nsbox.IDMap.ranges(id_map)}
    done = sh(
        "/bin/busybox stat -c '%u %g' / /state; /bin/busybox stat -c %a /state", rootfs, **spec
    )
    assert done.stdout.splitlines() == [shown, shown, "700"], done


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
