"""Images in the hands of an ordinary user: what can be unpacked, and what is said of the rest."""

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import nsbox
from nsbox import IDMap, Image, RootFS
from nsbox.image import Store
from nsbox.image.entry import Entry, Kind
from nsbox.image.header import END, header, padded

pytestmark = pytest.mark.usefixtures("ordinary_user")

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""cap_net_raw, as a file has it. See capabilities(7)."""

SNAPSHOT = Path(__file__).parents[1] / "snapshot.py"


@pytest.fixture
def tree(tmp_path: Path, busybox: str) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "srv/old").mkdir(parents=True)
    (root / "srv/old/file").write_text("old\n")
    (root / "srv/gone").write_text("gone\n")
    return root


def test_what_is_the_user_s_is_root_s_in_the_image(tree: Path, tmp_path: Path) -> None:
    Image.build(tree).save(tmp_path / "layout")
    image = Image.open(tmp_path / "layout")
    assert image.unpack(tmp_path / "flat") == ()
    assert (tmp_path / "flat/bin/busybox").stat().st_uid == os.geteuid()
    assert os.readlink(tmp_path / "flat/bin/sh") == "busybox"


def test_a_box_runs_an_image(tree: Path, tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo $LAYER; busybox id -u; echo x > /srv/new && cat /srv/new"]
    with Image.build(tree, cmd=command, env={"LAYER": "one"}) as image:
        spec = image.spec(store=tmp_path / "store")
        done = nsbox.run(None, spec, capture_output=True, text=True, timeout=60)
        assert RootFS.image(image, store=tmp_path / "store") == spec.rootfs
        kept = RootFS.image(image, store=tmp_path / "store", upper=tmp_path / "upper")
        own = nsbox.run(command, nsbox.BoxSpec(rootfs=kept), capture_output=True, timeout=60)
    assert done.stdout == "one\n0\nx\n", done.stderr
    assert own.stdout == b"\n0\nx\n"
    assert (tmp_path / "upper/srv/new").read_text() == "x\n"
    assert not (tree / "srv/new").exists()


def test_whiteouts_and_opaque_folders_work_where_a_user_mounts_them(
    tree: Path, tmp_path: Path
) -> None:
    upper = [
        Entry(b"srv/", Kind.FOLDER, 0o755),
        Entry(b"srv/.wh.gone", Kind.FILE),
        Entry(b"srv/old/", Kind.FOLDER, 0o755),
        Entry(b"srv/old/.wh..wh..opq", Kind.FILE),
        Entry(b"srv/old/new", Kind.FILE, 0o644, size=4),
    ]
    data = b"".join(header(entry) for entry in upper) + padded(b"new\n") + END
    (tmp_path / "upper.tar").write_bytes(data)
    below, above = Image.build(tree), Image.open(tmp_path / "upper.tar")
    image = Image(nsbox.image.assemble.stacked(below._content, above.layers[0], below.config))
    with image:
        layers = [layer.path for layer in image.unpacked(store=tmp_path / "store")]
        point = tmp_path / "point"
        point.mkdir()
        options = f"userxattr,lowerdir={':'.join(reversed(layers))}"
        command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, str(SNAPSHOT),
                   str(point), options]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(name for name in found if name.startswith("./srv")) == [
        "./srv", "./srv/old", "./srv/old/new",
    ]  # fmt: skip
    image.unpack(tmp_path / "flat")
    assert sorted(path.name for path in (tmp_path / "flat/srv").rglob("*")) == ["new", "old"]


def test_devices_and_owners_that_cannot_be_are_noted(tmp_path: Path) -> None:
    members = [
        Entry(b"dev/", Kind.FOLDER, 0o755),
        Entry(b"dev/null", Kind.CHAR_DEVICE, 0o666, device=(1, 3)),
        Entry(b"passwd", Kind.FILE, 0o4640, 0, 42),
        Entry(b"fifo", Kind.FIFO, 0o600),
        Entry(b"capable", Kind.FILE, 0o755, xattrs={b"security.capability": CAPABILITY}),
    ]
    (tmp_path / "plain.tar").write_bytes(b"".join(map(header, members)) + END)
    with Image.open(tmp_path / "plain.tar") as image:
        (layer,) = image.unpacked(store=tmp_path / "store")
    assert not (Path(layer.path) / "dev/null").exists()
    assert stat.S_IMODE((Path(layer.path) / "passwd").stat().st_mode) == 0o4640
    assert stat.S_ISFIFO((Path(layer.path) / "fifo").stat().st_mode)
    text = "\n".join(layer.notes)
    assert "devices left out" in text
    assert "dev/null" in text
    assert "without security.capability" in text
    assert "made the caller's" in text


def test_with_subordinate_ids_owners_are_kept(tree: Path, tmp_path: Path) -> None:
    granted = [line.partition(":")[0] for line in Path("/etc/subuid").read_text().splitlines()]
    if not {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())} & set(granted):
        pytest.skip("needs subordinate ids: usermod --add-subuids, --add-subgids")
    members = [
        Entry(b"etc/", Kind.FOLDER, 0o755),
        Entry(b"etc/shadow", Kind.FILE, 0o640, 0, 42, size=4),
        Entry(b"data/", Kind.FOLDER, 0o700, 33, 33),
        Entry(b"data/in", Kind.FILE, 0o600, 33, 33, xattrs={b"security.capability": CAPABILITY}),
        Entry(b"foreign", Kind.FILE, 0o600, 10**6, 0),
    ]
    data = header(members[0]) + header(members[1]) + padded(b"abc\n")
    (tmp_path / "plain.tar").write_bytes(data + b"".join(map(header, members[2:])) + END)
    above = Image.open(tmp_path / "plain.tar")
    below = Image.build(tree)
    image = Image(nsbox.image.assemble.stacked(below._content, above.layers[0], below.config))
    store = Store(tmp_path / "store", id_map=IDMap.subordinate())
    told: list[int] = []
    with image:
        spec = image.spec(store=store, progress=lambda done, *_: told.append(done))
        (_, layer) = image.unpacked(store=store)
        assert os.stat(Path(layer.path) / "etc/shadow").st_gid not in (os.getegid(), 42)
        assert "not mapped here: 1 (foreign)" in "\n".join(layer.notes)
        done = nsbox.run(
            ["/bin/busybox", "stat", "-c", "%n %u %g", "/etc/shadow", "/data/in", "/bin/busybox"],
            spec, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.stdout.splitlines() == [
        "/etc/shadow 0 42", "/data/in 33 33", "/bin/busybox 0 0",
    ], done.stderr  # fmt: skip
    assert told[-1] == sum(one.size for one in image.layers)
    assert len(store.gc()) == 2
    assert not list((Path(store.path) / "layers").iterdir())


def test_folders_that_their_owner_closed_are_filled_and_removed(tmp_path: Path) -> None:
    members = [
        Entry(b"closed/", Kind.FOLDER, 0o500),
        Entry(b"closed/in", Kind.FILE, 0o400),
        Entry(b"shut/", Kind.FOLDER, 0),
        Entry(b"shut/deep/", Kind.FOLDER, 0),
        Entry(b"shut/deep/in", Kind.FILE, 0),
    ]
    (tmp_path / "plain.tar").write_bytes(b"".join(map(header, members)) + END)
    store = Store(tmp_path / "store")
    with Image.open(tmp_path / "plain.tar") as image:
        (layer,) = image.unpacked(store=store)
        closed = Path(layer.path) / "closed"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o500
        assert (closed / "in").exists()
    assert len(store.gc()) == 1
    assert not list((tmp_path / "store/layers").iterdir())


@pytest.mark.parametrize("mode", [0o555, 0])
def test_an_image_whose_root_nobody_may_write_is_unpacked(tmp_path: Path, mode: int) -> None:
    """As some distributions have it: to move a folder takes the right to write it."""
    members = [Entry(b"./", Kind.FOLDER, mode), Entry(b"in", Kind.FILE)]
    (tmp_path / "plain.tar").write_bytes(b"".join(map(header, members)) + END)
    flat = tmp_path / "flat"
    with Image.open(tmp_path / "plain.tar") as image:
        image.unpack(flat)
    assert stat.S_IMODE(flat.stat().st_mode) == mode
    flat.chmod(0o700)
    assert (flat / "in").exists()
    assert sorted(os.listdir(tmp_path)) == ["flat", "plain.tar"]
