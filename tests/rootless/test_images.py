"""Images in the hands of an ordinary user: what can be unpacked, and what is said of the rest."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import nsbox
from nsbox import Image
from nsbox.image import Store
from nsbox.image.entry import Entry, Kind
from nsbox.image.header import END, header, padded

pytestmark = pytest.mark.usefixtures("ordinary_user")

SNAPSHOT = Path(__file__).parents[1] / "snapshot.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox (Debian: busybox-static)")
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
    assert done.stdout == "one\n0\nx\n", done.stderr
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
        Entry(b"capable", Kind.FILE, 0o755, xattrs={b"security.capability": b"\1\0\0\2" + bytes(16)}),
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
