"""A root mounted for the caller: there while the block lasts, and gone without a trace."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox
from nsbox import Mount, RootFS

pytestmark = pytest.mark.guest

Look = Callable[[Path], object]


def test_the_tree_is_there_for_the_caller_and_its_layers_stay(tree: Path, snapshot: Look) -> None:
    before = snapshot(tree)
    with RootFS.overlay(tree).mounted() as root:
        assert isinstance(root, Path)
        assert (root / "srv/index.html").read_text() == "It works\n"
        (root / "srv/index.html").write_text("edited\n")
        (root / "new/deep").mkdir(parents=True)
        (root / "srv/index.html").rename(root / "new/deep/moved")
        assert (root / "new/deep/moved").read_text() == "edited\n"
        assert sorted(os.listdir(root)) == ["bin", "new", "srv"]
    assert not root.exists()
    assert snapshot(tree) == before


def test_what_is_kept_is_kept(tree: Path, tmp_path: Path) -> None:
    for number in range(2):
        with RootFS.overlay(tree, upper=tmp_path / "upper").mounted() as root:
            assert (root / "srv/0").exists() is bool(number)
            (root / f"srv/{number}").write_text("")
    assert sorted(os.listdir(tmp_path / "upper/srv")) == ["0", "1"]
    assert sorted(os.listdir(tmp_path)) == ["tree", "upper"]


def test_mounts_are_in_it_but_not_those_of_a_box(tree: Path) -> None:
    rootfs = RootFS.empty().with_mounts(
        Mount.file("/etc/motd", "designed here\n"), Mount.bind(tree, "/data", readonly=True)
    )
    with rootfs.mounted() as root:
        assert sorted(os.listdir(root)) == ["data", "etc"]
        assert (root / "etc/motd").read_text() == "designed here\n"
        assert (root / "data/srv/index.html").read_text() == "It works\n"
        with pytest.raises(OSError, match="Read-only"):
            (root / "data/srv/new").write_text("no")


def test_nobody_else_sees_it(tree: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with RootFS.overlay(tree).mounted():
        assert Path("/proc/self/mountinfo").read_text() == before


def test_many_at_once(tree: Path) -> None:
    with RootFS.overlay(tree).mounted() as one, RootFS.overlay(tree).mounted() as two:
        (one / "srv/index.html").write_text("one")
        (two / "srv/index.html").write_text("two")
        assert (one / "srv/index.html").read_text() == "one"


def test_a_failure_is_its_step_and_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.bind(tmp_path / "missing", "/data")
    )
    with pytest.raises(FileNotFoundError, match="missing") as caught, rootfs.mounted():
        pass
    assert isinstance(caught.value, nsbox.StepError)
    assert caught.value.step.name in ("open_tree", "mount")


def test_an_error_of_the_block_is_the_callers_own(tree: Path) -> None:
    with pytest.raises(ZeroDivisionError), RootFS.overlay(tree).mounted():
        raise ZeroDivisionError


def test_it_can_be_mounted_where_the_caller_says(
    mount_calls: None, root: None, tree: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    rootfs = RootFS.overlay(tree, upper=tmp_path / "upper").with_mounts(
        Mount.file("/etc/motd", "designed here\n"), Mount.secret("/etc/key", "hidden")
    )
    with rootfs.mounted(place) as mounted:
        assert mounted == place
        (place / "srv/new").write_text("kept\n")
        assert (place / "etc/motd").read_text() == "designed here\n"
        assert (place / "etc/key").read_text() == "hidden"
    assert os.listdir(place) == []
    assert (tmp_path / "upper/srv/new").read_text() == "kept\n"
    assert sorted(os.listdir(tmp_path)) == ["place", "tree", "upper"]


def test_a_place_is_as_it_was_after_a_failure(
    mount_calls: None, root: None, tree: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    rootfs = RootFS.overlay(tree).with_mounts(
        Mount.file("/etc/motd", "x"), Mount.readonly_path("/no/such")
    )
    with pytest.raises(FileNotFoundError, match="no/such"), rootfs.mounted(place):
        pass
    assert os.listdir(place) == []
    with pytest.raises(FileNotFoundError, match="missing"), rootfs.mounted(tmp_path / "missing"):
        pass


def test_without_rights_no_place_of_the_host_is_mounted_upon(
    ordinary_user: None, tree: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(nsbox.UnsupportedError, match="CAP_SYS_ADMIN"),
        RootFS.overlay(tree).mounted(tmp_path),
    ):
        pass


def test_the_caller_stays_where_it_is(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        with RootFS.overlay("tree").mounted() as root:
            assert os.getcwd() == str(tmp_path)
            assert (root / "srv/index.html").exists()
            assert os.stat(root).st_mode & 0o777 == 0o755
    finally:
        assert os.umask(before) == 0o077
