"""Overlays lowered: on old and young kernels, with and without a user namespace."""

import attrs
import pytest
from roots import SITE

from nsbox import Mount, RootFS, UnsupportedError
from nsbox.rootfs import overlay
from nsbox.rootfs.lower import steps, work_folders


@pytest.fixture(autouse=True)
def possible(monkeypatch):
    """Nothing is tried here."""
    monkeypatch.setattr(overlay, "find_obstacle", lambda *_: None)


def parameters(rootfs, **site):
    """The parameters of the overlay, in order."""
    lines = [str(step) for step in steps(rootfs, attrs.evolve(SITE, **site))]
    begun = lines.index('context = fsopen("overlay")')
    end = lines.index('fsconfig(context, FSCONFIG_CMD_CREATE, "", "")', begun)
    return [
        line.partition(", ")[2].partition(", ")[2].rstrip(")") for line in lines[begun + 1 : end]
    ]


def test_layers_are_added_one_by_one_the_topmost_first():
    found = parameters(RootFS.overlay("/one", "/two"))
    assert found[1:4] == [
        '"lowerdir+", "1"',
        '"lowerdir+", "0"',
        '"lowerdir+", "points"',
    ]


def test_older_kernels_get_all_layers_in_one_parameter():
    assert '"lowerdir", "1:0:points"' in parameters(RootFS.overlay("/one", "/two"), kernel=(6, 1))


def test_older_kernels_take_about_80_layers():
    layers = [f"/{'x' * 200}/{number}" for number in range(150)]
    assert parameters(RootFS.overlay(*layers[:80]), kernel=(6, 1))
    assert parameters(RootFS.overlay(*layers), kernel=(6, 7))
    with pytest.raises(UnsupportedError, match=r"^lowers: 150 are too many"):
        parameters(RootFS.overlay(*layers), kernel=(6, 6))


def test_marks_are_those_of_users_in_a_user_namespace():
    assert '"userxattr", ""' in parameters(RootFS.overlay("/one"), own_users=True)
    found = parameters(RootFS.overlay("/one"))
    assert '"userxattr", ""' not in found
    assert {'"metacopy", "off"', '"redirect_dir", "off"'} <= set(found)


def test_a_kept_layer_has_its_work_folder_beside_it(tmp_path):
    rootfs = RootFS.overlay("/one", upper=tmp_path / "upper").with_mounts(
        Mount.overlay("/data", "/two", upper=tmp_path / "data"), Mount.overlay("/temp", "/two")
    )
    assert work_folders(rootfs, SITE) == (
        f"{tmp_path}/.upper.root.nsbox-1-2-3",
        f"{tmp_path}/.data.overlay3.nsbox-1-2-3",
    )
    assert work_folders(RootFS.overlay("/one"), SITE) == ()


def test_mount_points_are_in_a_layer_below_all_others():
    rootfs = RootFS.overlay("/one").with_mounts(Mount.file("/etc/motd", "x"), Mount.tmpfs("/a/b"))
    lines = [str(step) for step in steps(rootfs, SITE)]
    for line in (
        'mkdirat(layers, "points/proc", 0755)',
        'mkdirat(layers, "points/etc", 0755)',
        'openat(layers, "points/etc/motd", O_CREAT, 0644, "")',
        'mkdirat(layers, "points/a/b", 0755)',
    ):
        assert lines.index(line) < lines.index('context = fsopen("overlay")')


def test_where_there_can_be_none_the_layers_are_copied_in_their_order(monkeypatch):
    monkeypatch.setattr(overlay, "find_obstacle", lambda *_: "the reason")
    lines = [str(step) for step in steps(RootFS.overlay("/one", "/two"), SITE)]
    copied = [line for line in lines if line.startswith("sendfile")]
    assert copied == [
        'sendfile("/one"/* -> mount/tree), for "the reason"',
        'sendfile("/two"/* -> mount/tree), for "the reason"',
    ]
    assert not [line for line in lines if "fsopen(" in line and "overlay" in line]
    with pytest.raises(UnsupportedError, match=r"^upper: the reason"):
        list(steps(RootFS.overlay("/one", upper="/kept"), SITE))
