"""Folders laid over each other: what is written stays apart, and the layers as they were."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox
from nsbox import Mount, RootFS

pytestmark = pytest.mark.guest

Shell = Callable[..., nsbox.CompletedProcess]
Look = Callable[[Path], object]


def test_what_a_box_writes_is_thrown_away(tree: Path, sh: Shell, snapshot: Look) -> None:
    before = snapshot(tree)
    script = "echo new > /srv/index.html; echo more > /srv/more; /bin/busybox rm -r /srv/gone; /bin/busybox cat /srv/*"
    (tree / "srv/gone").mkdir()
    before = snapshot(tree)
    for _ in range(2):
        assert sh(script, RootFS.overlay(tree)).stdout == "new\nmore\n"
    assert snapshot(tree) == before


def test_a_kept_layer_is_found_by_the_next_box(tree: Path, tmp_path: Path, sh: Shell) -> None:
    kept = RootFS.overlay(tree, upper=tmp_path / "upper")
    assert sh("echo kept > /srv/new; /bin/busybox rm /srv/index.html", kept).returncode == 0
    assert sh("/bin/busybox ls /srv", kept).stdout == "new\n"
    assert (tmp_path / "upper/srv/new").read_text() == "kept\n"
    assert (tree / "srv/index.html").read_text() == "It works\n"


def test_a_kept_layer_holds_nothing_but_what_the_box_has_written(
    tree: Path, tmp_path: Path, sh: Shell
) -> None:
    kept = RootFS.overlay(tree, upper=tmp_path / "upper").with_mounts(
        Mount.file("/etc/motd", "x"), Mount.bind(tree, "/deep/er")
    )
    assert sh("echo kept > /srv/new", kept).returncode == 0
    assert sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "upper").rglob("*")) == [
        "upper/srv",
        "upper/srv/new",
    ]


def test_no_work_folder_stays_beside_a_kept_layer(tree: Path, tmp_path: Path, sh: Shell) -> None:
    kept = RootFS.overlay(tree, upper=tmp_path / "upper")
    assert sh("/bin/busybox rm -r /srv", kept).returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        nsbox.run(["/bin/busybox", "sleep", "60"], nsbox.BoxSpec(rootfs=kept), timeout=0.2)
    with pytest.raises(FileNotFoundError):
        nsbox.run(["/no/such/program"], nsbox.BoxSpec(rootfs=kept))
    assert sorted(os.listdir(tmp_path)) == ["tree", "upper"]


def test_a_work_folder_of_the_dead_is_removed_by_the_next_box(
    tree: Path, tmp_path: Path, sh: Shell
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = [tmp_path / f".upper.root.nsbox-{ended.pid}-1-{number}" for number in (1, 2)]
    others = [tmp_path / f".other.root.nsbox-{ended.pid}-1-1", tmp_path / ".upper.root.mine"]
    for folder in (*left, *others):
        (folder / "work").mkdir(parents=True)
    assert sh("true", RootFS.overlay(tree, upper=tmp_path / "upper")).returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["tree", "upper", *(other.name for other in others)]
    )


def test_later_layers_lie_over_earlier_ones(tree: Path, tmp_path: Path, sh: Shell) -> None:
    layers = [tree]
    for number in range(30):
        layer = tmp_path / f"layer{number}"
        (layer / "srv").mkdir(parents=True)
        (layer / "srv/top").write_text(f"{number}\n")
        (layer / f"srv/only{number}").write_text("")
        layers.append(layer)
    done = sh("/bin/busybox cat /srv/top; /bin/busybox ls /srv", RootFS.overlay(*layers))
    top, *names = done.stdout.split()
    assert top == "29"
    assert set(names) == {"index.html", "top", *(f"only{number}" for number in range(30))}


@pytest.mark.parametrize(
    "name", ["a:b,c\\d", " spaces and\ttabs ", "é\n", "l" * 200 + "/" + "m" * 200], ids=repr
)
def test_names_of_any_sort_can_be_layers(tree: Path, tmp_path: Path, sh: Shell, name: str) -> None:
    lower, upper = tmp_path / name / "lower", tmp_path / name / "upper"
    lower.parent.mkdir(parents=True)
    tree.rename(lower)
    done = sh(
        "echo x > /srv/x; /bin/busybox cat /srv/index.html", RootFS.overlay(lower, upper=upper)
    )
    assert done.stdout == "It works\n"
    assert (upper / "srv/x").read_text() == "x\n"
    assert sorted(os.listdir(lower.parent)) == ["lower", "upper"]


def test_the_box_learns_nothing_of_the_hosts_paths(tree: Path, tmp_path: Path, sh: Shell) -> None:
    rootfs = RootFS.overlay(tree, upper=tmp_path / "upper")
    mounts = sh("/bin/busybox cat /proc/self/mountinfo", rootfs).stdout
    assert " - overlay overlay " in mounts
    assert str(tmp_path) not in mounts


def test_a_missing_layer_is_named(tree: Path, tmp_path: Path, sh: Shell) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        sh("true", RootFS.overlay(tree, tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match="missing"):
        sh("true", RootFS.overlay(tree, upper=tmp_path / "missing/upper"))
    assert os.listdir(tmp_path) == ["tree"]


def test_an_overlay_can_be_a_mount(tree: Path, tmp_path: Path, sh: Shell, snapshot: Look) -> None:
    before = snapshot(tree)
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(
        Mount.overlay("/one", tree / "srv"),
        Mount.overlay("/two", tree / "srv", upper=tmp_path / "upper"),
    )
    script = "echo 1 > /one/x; echo 2 > /two/x; /bin/busybox cat /one/* /two/*"
    assert sh(script, rootfs).stdout == "It works\n1\nIt works\n2\n"
    assert snapshot(tree) == before
    assert (tmp_path / "upper/x").read_text() == "2\n"
    assert sorted(os.listdir(tmp_path)) == ["tree", "upper"]


TOO_DEEP = """
import os, subprocess, sys, nsbox
from nsbox import BoxSpec, RootFS
folder = sys.argv[1]
def overlay(lower, name):
    subprocess.run(["mkdir", "-p", *(f"{folder}/{name}/{part}" for part in "uwm")], check=True)
    options = f"lowerdir={lower},upperdir={folder}/{name}/u,workdir={folder}/{name}/w"
    subprocess.run(["mount", "-t", "overlay", "x", "-o", options, f"{folder}/{name}/m"], check=True)
    return f"{folder}/{name}/m"
subprocess.run(["mount", "-t", "tmpfs", "x", folder + "/work"], check=True)
folder += "/work"
deep = overlay(overlay(sys.argv[1] + "/tree", "one"), "two")
os.symlink("index.html", deep + "/srv/link")
os.chown(deep + "/srv/index.html", 12, 34)
os.chmod(deep + "/srv/index.html", 0o4640)
os.utime(deep + "/srv/index.html", ns=(5, 7_000_000_009))
"""


def test_where_an_overlay_cannot_be_a_copy_is_and_says_why(
    apart: Callable[..., str], tree: Path, tmp_path: Path
) -> None:
    script = TOO_DEEP + (
        "spec = BoxSpec(rootfs=RootFS.overlay(deep))\n"
        "print([str(step) for step in spec.plan(['true']) if step.name == 'sendfile'])\n"
        "script = 'cd /srv; B=/bin/busybox; $B stat -c %a:%u:%g:%Y index.html; $B readlink link; $B cat link;'\n"
        "script += 'echo new > index.html; $B cat index.html'\n"
        "done = nsbox.run(['/bin/busybox', 'sh', '-c', script], spec, capture_output=True, text=True)\n"
        "print(done.stdout, done.stderr)\n"
        "print(open(deep + '/srv/index.html').read())\n"
    )
    (tmp_path / "work").mkdir()
    copied, *lines = apart(script, tmp_path).split("\n")
    assert '/two/m\\\\"/* -> root)' in copied or '/two/m"/* -> root)' in copied
    assert "too deep" in copied
    assert lines[:4] == ["4640:12:34:7", "index.html", "It works", "new"]
    assert lines[5] == "It works"


def test_a_layer_that_cannot_be_kept_is_refused_with_the_reason(
    apart: Callable[..., str], tree: Path, tmp_path: Path
) -> None:
    script = TOO_DEEP + (
        "try: BoxSpec(rootfs=RootFS.overlay(deep, upper=folder + '/kept')).plan(['true'])\n"
        "except nsbox.UnsupportedError as error: print(error)\n"
    )
    (tmp_path / "work").mkdir()
    assert "upper: an overlay of overlays of overlays is too deep" in apart(script, tmp_path)
