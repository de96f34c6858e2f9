"""Folders laid over each other: what is written stays apart, and the layers as they were."""

import errno
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


def test_a_work_folder_that_others_have_forged_leads_to_nothing(
    root: None, tree: Path, tmp_path: Path, canary: Path, sh: Shell
) -> None:
    """What a folder leads to is not touched, and what is in another's stays."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    linked, theirs = (tmp_path / f".upper.root.nsbox-{ended.pid}-1-{number}" for number in (1, 2))
    linked.mkdir()
    (linked / "work").symlink_to(canary)
    (theirs / "work/moved").mkdir(parents=True)
    os.chown(theirs, 12345, 12345)
    before = canary.stat().st_mode
    assert sh("true", RootFS.overlay(tree, upper=tmp_path / "upper")).returncode == 0
    assert canary.stat().st_mode == before
    assert (theirs / "work/moved").exists()


@pytest.mark.parametrize("forged", ["folder", "link"])
def test_a_work_folder_that_is_there_already_is_not_used(
    tree: Path, tmp_path: Path, canary: Path, forged: str
) -> None:
    kept = RootFS.overlay(tree, upper=tmp_path / "upper")
    with kept.mounted():
        (name,) = (p.name for p in tmp_path.iterdir() if p.name.startswith(".upper"))
    mark, _, number = name.rpartition("-")
    place = tmp_path / f"{mark}-{int(number) + 1}"
    if forged == "link":
        place.symlink_to(canary)
    else:
        place.mkdir()
    with pytest.raises(FileExistsError, match=place.name), kept.mounted():
        pass


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
    assert " - overlay " in mounts
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
    assert '/two/m"/* -> mount/tree)' in copied
    assert "too deep" in copied
    assert lines[:4] == ["4640:12:34:7", "index.html", "It works", "new"]
    assert lines[5] == "It works"


SAME = """
srv = deep + "/srv"
open(srv + "/one", "w").write("one")
os.utime(srv + "/one", ns=(5, 7_000_000_009))
for at in range(3000):  # more than one look into a folder finds
    os.link(srv + "/one", f"{srv}/name{at}")
os.mkdir(srv + "/other"); os.link(srv + "/one", srv + "/other/name")
os.symlink("index.html", srv + "/to"); os.link(srv + "/to", srv + "/to-too", follow_symlinks=False)
attributes = {"trusted.one": b"1", "trusted.long": b"x" * 3000, "security.two": b"\\0\\1", "trusted.empty": b""}
for name, value in attributes.items():
    os.setxattr(srv + "/one", name, value); os.setxattr(srv + "/other", name, value)
with open(srv + "/holes", "wb") as file:
    file.seek(50 << 20); file.write(b"here"); file.truncate(2 << 30)
with RootFS.overlay(deep).mounted() as root:
    new = os.path.join(root, "srv")
    print(os.stat(new + "/one").st_nlink, os.stat(new + "/to", follow_symlinks=False).st_nlink)
    print(len({os.stat(f"{new}/{name}").st_ino for name in ("one", "name7", "other/name")}))
    print(*({n: os.getxattr(p, n) for n in os.listxattr(p)} == attributes for p in (new + "/one", new + "/other")))
    found = os.stat(new + "/holes")
    print(found.st_size >> 20, found.st_blocks * 512 < 1 << 20)
    with open(new + "/holes", "rb") as file:
        file.seek(50 << 20); print(file.read(5))
    print(os.stat(new + "/one").st_mtime_ns, sorted(os.listdir(root)))
"""


def test_a_copy_keeps_hard_links_attributes_and_holes(
    apart: Callable[..., str], tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    assert apart(TOO_DEEP + SAME, tmp_path).splitlines() == [
        "3002 2",
        "1",
        "True True",
        "2048 True",
        "b'here\\x00'",
        "7000000009 ['bin', 'srv']",
    ]


def test_an_opaque_folder_is_refused_in_a_copy(
    root: None, tree: Path, sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsbox.rootfs.overlay.find_obstacle", lambda *_: "the reason")
    os.setxattr(tree / "srv", "trusted.overlay.origin", b"not for who looks at it")
    assert sh("cat /srv/index.html", RootFS.overlay(tree)).stdout == "It works\n"
    os.setxattr(tree / "srv", "trusted.overlay.opaque", b"y")
    with pytest.raises(nsbox.StepError, match="only an overlay can show") as caught:
        sh("true", RootFS.overlay(tree))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_layer_that_cannot_be_kept_is_refused_with_the_reason(
    apart: Callable[..., str], tree: Path, tmp_path: Path
) -> None:
    script = TOO_DEEP + (
        "try: BoxSpec(rootfs=RootFS.overlay(deep, upper=folder + '/kept')).plan(['true'])\n"
        "except nsbox.UnsupportedError as error: print(error)\n"
    )
    (tmp_path / "work").mkdir()
    assert "upper: an overlay of overlays of overlays is too deep" in apart(script, tmp_path)


def test_overlays_files_and_secrets_do_not_meet_in_one_root(
    tree: Path, tmp_path: Path, sh: Shell
) -> None:
    rootfs = RootFS.overlay(tree).with_mounts(
        Mount.overlay("/0", tree / "srv"),
        Mount.overlay("/1", tree / "srv", upper=tmp_path / "upper"),
        Mount.file("/etc/0", "a file\n"),
        Mount.secret("/etc/1", "a secret\n"),
    )
    script = (
        "for at in 0 1 srv; do echo $at > /$at/at; done; busybox cat /0/at /1/at /srv/at /etc/*"
    )
    assert sh(script, rootfs).stdout == "0\n1\nsrv\na file\na secret\n"
