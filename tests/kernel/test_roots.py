"""Roots and mounts on the real kernel: what is shown, what is kept out, what stays as it was."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Mount, RootFS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox (Debian: busybox-static)")
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "srv").mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    (root / "srv/index.html").write_text("It works\n")
    return root


def sh(script: str, rootfs: RootFS) -> "nsbox.CompletedProcess":
    command = ["/bin/busybox", "sh", "-c", script]
    return nsbox.run(command, BoxSpec(rootfs=rootfs), capture_output=True, text=True, timeout=60)


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree of the host that no box may change."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "file").write_text("untouched\n")
    before = snapshot(folder)
    yield folder
    assert snapshot(folder) == before


def test_a_directory_is_all_there_is(tree: Path, tmp_path: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True)
    assert sh("cat /srv/index.html", rootfs).stdout == "It works\n"
    assert sh(f"ls {tmp_path}", rootfs).returncode != 0


@pytest.mark.guest
def test_a_readonly_directory_is_left_as_it_is(tree: Path) -> None:
    before = snapshot(tree)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.tmpfs("/srv/deep/er"), Mount.file("/etc/motd", "designed here\n"), Mount.tmpfs("/tmp")
    )
    script = "/bin/busybox cat /etc/motd /srv/index.html; echo x > /srv/deep/er/x && echo kept"
    assert sh(script, rootfs).stdout == "designed here\nIt works\nkept\n"
    assert sh("echo no > /srv/index.html", rootfs).returncode != 0
    assert sh("echo no > /new", rootfs).returncode != 0
    assert snapshot(tree) == before


@pytest.mark.guest
def test_a_writable_directory_keeps_what_the_box_writes(tree: Path) -> None:
    assert sh("echo kept > /srv/new", RootFS.directory(tree)).returncode == 0
    assert (tree / "srv/new").read_text() == "kept\n"


def test_a_mount_inside_of_another_may_be_named_by_a_link(tree: Path) -> None:
    (tree / "var").mkdir()
    (tree / "var/run").symlink_to("/run")
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.tmpfs("/run"), Mount.file("/var/run/app/state", "by another name\n")
    )
    assert sh("cat /run/app/state", rootfs).stdout == "by another name\n"


def test_a_file_where_there_was_none_can_be_replaced(tree: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.file("/etc/motd", "first\n"), Mount.file("/etc/motd", "second\n")
    )
    assert sh("cat /etc/motd", rootfs).stdout == "second\n"


@pytest.mark.guest
def test_mounts_come_in_order_later_over_earlier(tree: Path, tmp_path: Path) -> None:
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


@pytest.mark.guest
def test_a_readonly_bind_cannot_be_written_to(tree: Path, canary: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(canary, "/canary", readonly=True)
    )
    assert sh("/bin/busybox cat /canary/file", rootfs).stdout == "untouched\n"
    for script in ("echo x > /canary/file", "echo x > /canary/new", "/bin/busybox rm /canary/file"):
        assert sh(script, rootfs).returncode != 0


@pytest.mark.guest
def test_noexec_is_kept(tree: Path, tmp_path: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tree / "bin", "/programs", noexec=True)
    )
    assert sh("/programs/busybox true", rootfs).returncode == 126


@pytest.mark.guest
def test_a_tmpfs_has_its_size(tree: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.tmpfs("/small", size="64K"))
    script = "/bin/busybox head -c 100000 /dev/zero > /small/file"
    assert sh(script, rootfs).returncode != 0
    assert sh("/bin/busybox head -c 1000 /dev/zero > /small/file", rootfs).returncode == 0


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("link", ["{canary}", "../../../../..{canary}", "/../..{canary}"])
def test_a_link_in_the_tree_leads_no_mount_out_of_it(
    tree: Path, canary: Path, link: str, readonly: bool
) -> None:
    (tree / "data").symlink_to(link.format(canary=canary))
    for name in ("dev", "proc", "tmp"):
        (tree / name).mkdir()
    rootfs = RootFS.directory(tree, readonly=readonly).with_mounts(
        Mount.tmpfs("/data/below"), Mount.file("/data/file", "hostile")
    )
    # An error is as good as a mount within the tree: the canary decides.
    with contextlib.suppress(OSError, ValueError):
        sh("true", rootfs)
    assert (canary / "file").read_text() == "untouched\n"


@pytest.mark.parametrize("name", ["dev", "proc", "tmp"])
def test_a_standard_folder_that_is_a_link_leads_nothing_out(
    tree: Path, canary: Path, name: str
) -> None:
    (tree / name).symlink_to(canary)
    for readonly in (True, False):
        try:
            sh("true", RootFS.directory(tree, readonly=readonly))
        except (OSError, ValueError):
            continue


def test_a_missing_source_is_named_before_anything_is_made(tree: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match="missing") as caught:
        sh("true", RootFS.directory(tree).with_mounts(Mount.bind(missing, "/data")))
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "open_tree"
    assert sorted(os.listdir(tree)) == ["bin", "srv"]


def test_a_missing_root_is_named() -> None:
    for readonly in (True, False):
        with pytest.raises(FileNotFoundError, match="/no/such/tree"):
            sh("true", RootFS.directory("/no/such/tree", readonly=readonly))


def test_a_mount_point_that_cannot_be_made_is_named(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tmp_path / "data", "/data", readonly=True), Mount.tmpfs("/data/missing")
    )
    with pytest.raises(OSError, match="read-only") as caught:
        sh("true", rootfs)
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name == "mkdirat"


def test_a_tree_that_changes_is_seen_by_the_next_box(tree: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True)
    assert sh("/bin/busybox ls /", rootfs).stdout.split() == ["bin", "dev", "proc", "srv", "tmp"]
    (tree / "opt").mkdir()
    assert "opt" in sh("/bin/busybox ls /", rootfs).stdout.split()
