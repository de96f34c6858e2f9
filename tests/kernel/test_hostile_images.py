"""Images made to do harm: nothing outside the root changes, and the error says what it was about."""

import gzip
import hashlib
import json
import os
import random
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nsbox import Image, ImageError
from nsbox.image import Limits
from nsbox.image.entry import Entry, Kind
from nsbox.image.files import ArchiveFiles
from nsbox.image.header import END, header, padded
from nsbox.image.store import visible

pytestmark = pytest.mark.once

Member = tuple[Entry, bytes]


def file(name: str, content: bytes = b"hostile\n", **facts: object) -> Member:
    return Entry(name.encode(), Kind.FILE, size=len(content), **facts), content  # type: ignore[arg-type]


def folder(name: str, mode: int = 0o755) -> Member:
    return Entry(name.encode(), Kind.FOLDER, mode), b""


def link(name: str, target: str) -> Member:
    return Entry(name.encode(), Kind.SYMLINK, 0o777, link=target.encode()), b""


def hard(name: str, target: str) -> Member:
    return Entry(name.encode(), Kind.HARD_LINK, link=target.encode()), b""


def archive(members: Sequence[Member]) -> bytes:
    return b"".join(header(entry) + padded(content) for entry, content in members) + END


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layout(
    path: Path, *layers: bytes, lie: dict[str, object] | None = None, diff_ids: object = None
) -> Path:
    """Write a layout by hand, of archives that are compressed or not; `lie` is put into each
    layer's descriptor."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, object]:
        (blobs / sha256(data).partition(":")[2]).write_bytes(data)
        return {"digest": sha256(data), "size": len(data)}

    plain = [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in layers]
    ids = diff_ids or [sha256(data) for data in plain]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}}
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(config).encode()),
        "layers": [blob(data) | (lie or {}) for data in layers],
    }
    kind = {"mediaType": "application/vnd.oci.image.manifest.v1+json"}
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode()) | kind]}
    (path / "index.json").write_text(json.dumps(index))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return path


def facts(top: Path) -> dict[str, tuple[int, int, int, int, bytes]]:
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        owner = status.st_uid << 32 | status.st_gid
        found[str(path)] = status.st_mode, owner, status.st_mtime_ns, status.st_nlink, content
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A folder of the host that no image may change."""
    top = tmp_path / "canary"
    (top / "folder").mkdir(parents=True)
    (top / "file").write_text("untouched\n")
    before = facts(top)
    yield top
    assert facts(top) == before


def unpack(image: Image, tmp_path: Path, limits: Limits = Limits()) -> None:
    """Unpack both ways; whichever fails leaves nothing."""
    errors = []
    try:
        image.unpack(tmp_path / "flat", limits=limits)
    except ImageError as error:
        errors.append(error)
        assert not (tmp_path / "flat").exists()
    assert not list(tmp_path.glob(".new-*"))
    with image:
        try:
            image.unpacked(store=tmp_path / "store", limits=limits)
        except ImageError as error:
            errors.append(error)
    assert not list((tmp_path / "store/new").iterdir())
    if errors:
        assert len(errors) == 2, errors
        raise errors[1]


REFUSED = [
    ("dotdot", [file("../canary/file")], "'..'"),
    ("dotdot within", [folder("a"), file("a/../../canary/file")], "'..'"),
    ("dotdot alone", [folder("..")], "'..'"),
    ("hard link out", [hard("a", "../canary/file")], "'..'"),
    ("absolute hard link out", [hard("a", "{canary}/file")], "has not"),
    ("hard link by a link out", [link("out", "{canary}"), hard("a", "out/file")], "has not"),
    ("hard link to a folder", [folder("a"), hard("b", "a")], "has not"),
    ("hard link to the root", [hard("a", "/")], "root"),
    ("whiteout of dotdot", [file(".wh...")], "whiteout"),
    ("whiteout of dot", [file(".wh..")], "whiteout"),
    ("whiteout of nothing", [file("a/.wh.")], "whiteout"),
    ("whiteout beyond dotdot", [file("../.wh.canary")], "'..'"),
    ("opaque beyond dotdot", [file("../.wh..wh..opq")], "'..'"),
    ("root that is a link", [link("./", "{canary}")], "root"),
    ("root that is a file", [file(".")], "root"),
    ("links in a circle", [link("a", "b"), link("b", "a"), file("a/x")], "too many"),
    ("file on the way", [file("a"), file("a/b")], "not a folder"),
    ("name too long", [file("x" * 300)], "too long"),
    ("too deep", [file("/".join("x" * 256))], "deep"),
    ("link to nothing", [(Entry(b"a", Kind.SYMLINK), b"")], "nothing"),
    ("link too long", [link("a", "x" * 5000)], "too long"),
    ("nobody's", [(Entry(b"a", Kind.FILE, uid=2**32 - 1), b"")], "nobody can be"),
    ("no device", [(Entry(b"a", Kind.CHAR_DEVICE, device=(2**20, 0)), b"")], "cannot be"),
]


@pytest.mark.parametrize(("members", "problem"), [row[1:] for row in REFUSED],
                         ids=[row[0] for row in REFUSED])  # fmt: skip
def test_it_is_refused_with_the_layer_and_the_entry(
    tmp_path: Path, canary: Path, members: list[Member], problem: str
) -> None:
    for entry, _ in members:
        entry.link = entry.link.replace(b"{canary}", os.fsencode(canary))
    data = archive([file("first"), *members])
    with pytest.raises(ImageError, match=problem) as caught:
        unpack(Image.open(layout(tmp_path / "layout", data)), tmp_path)
    assert caught.value.layer == sha256(data)
    assert caught.value.entry == os.fsdecode(members[-1][0].name)


CONTAINED = [
    ("absolute", [file("{canary}/file")], "{canary}/file"),
    ("link out", [link("out", "{canary}"), file("out/file")], "{canary}/file"),
    ("link up", [link("out", "../../../../../..{canary}"), file("out/file")], "{canary}/file"),
    ("chained links", [link("a", "b"), link("b", "{canary}"), file("a/file")], "{canary}/file"),
    ("a file through a link", [link("file", "{canary}/file"), file("file")], "file"),
    ("a folder through a link", [link("out", "{canary}"), folder("out", 0o700)], "out"),
    ("a link to a folder replaced", [link("out", "{canary}/folder"), folder("out"),
                                     file("out/new")], "out/new"),
    ("/dev is a link", [link("dev", "{canary}"), file("dev/null")], "{canary}/null"),
    ("/proc is a link", [link("proc", "{canary}/folder"), folder("proc/self")],
     "{canary}/folder/self"),
    ("whiteout through a link", [link("out", "{canary}"), file("out/.wh.file")], None),
    ("opaque through a link", [link("out", "{canary}"), file("out/.wh..wh..opq")], None),
    ("file, then folder, then file", [file("a"), folder("a"), file("a/b"), file("a")], "a"),
    ("the same again and again", [file("a", b"one"), file("a", b"two"), hard("a", "a")], "a"),
    ("times before time", [file("a", mtime_ns=-(2**70))], "a"),
    ("times after time", [file("a", mtime_ns=2**70)], "a"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "made"), [row[1:] for row in CONTAINED],
                         ids=[row[0] for row in CONTAINED])  # fmt: skip
def test_it_stays_within_the_root(
    tmp_path: Path, canary: Path, members: list[Member], made: str | None
) -> None:
    place = str(canary)
    for entry, _ in members:
        entry.link = entry.link.replace(b"{canary}", place.encode())
        entry.name = entry.name.replace(b"{canary}", place.encode())
    unpack(Image.open(layout(tmp_path / "layout", archive(members))), tmp_path)
    if made is not None:
        assert os.path.lexists(tmp_path / "flat" / made.format(canary=place[1:]))


def test_a_lower_layer_s_link_leads_an_upper_one_nowhere_else(tmp_path: Path, canary: Path) -> None:
    first = archive([link("out", str(canary)), folder("real", 0o750), link("in", "real")])
    second = archive([file("out/file"), file("in/file"), file("out/.wh.folder")])
    image = Image.open(layout(tmp_path / "layout", first, second))
    unpack(image, tmp_path)
    assert (tmp_path / "flat/real/file").read_bytes() == b"hostile\n"
    with image:
        lower, upper = (Path(one.path) for one in image.unpacked(store=tmp_path / "store"))
        assert (lower / "in").is_symlink()
        assert (upper / "real/file").read_bytes() == b"hostile\n"
        assert stat.S_IMODE((upper / "real").stat().st_mode) == 0o750


@pytest.mark.parametrize(
    "members",
    [
        [file(".wh.a"), file("a/b/f")],
        [file(".wh.a"), folder("a"), file("a/b/f")],
        [folder("a"), file(".wh.a"), file("a/b/f")],
        [file("a/.wh..wh..opq"), file("a/b/f")],
        [file(".wh..wh..opq"), file("a/b/f")],
        [file("a/.wh.b"), file("a/b/f")],
        [file("a/b/.wh.none"), file(".wh.a"), file("a/b/f")],
    ],
    ids=["gone", "gone, made", "made, gone", "emptied", "root emptied", "link gone", "followed"],
)
def test_a_link_that_a_layer_has_deleted_leads_it_nowhere(
    tmp_path: Path, members: list[Member]
) -> None:
    """Both ways of unpacking show the same: what is gone is gone, whoever is asked below."""
    first = archive([folder("etc"), folder("a", 0o700), link("a/b", "/etc")])
    image = Image.open(layout(tmp_path / "layout", first, archive(members)))
    unpack(image, tmp_path)
    assert (tmp_path / "flat/a/b/f").is_file()
    assert not (tmp_path / "flat/a/b").is_symlink()
    with image:
        upper = Path(image.unpacked(store=tmp_path / "store")[-1].path)
        assert (upper / "a/b/f").is_file()
        assert not (upper / "etc/f").exists()


def test_a_root_that_hides_all_below_it_does_so_in_a_mount_too(tmp_path: Path) -> None:
    """An overlay does not look at its roots' marks, so the layers below are left out."""
    first = archive([file("old"), folder("kept-name"), file("kept-name/old")])
    second = archive([file(".wh..wh..opq"), file("new")])
    third = archive([file("newer")])
    image = Image.open(layout(tmp_path / "layout", first, second, third))
    with image:
        layers = image.unpacked(store=tmp_path / "store")
        assert visible(layers) == layers[1:]
    image.unpack(tmp_path / "flat")
    assert sorted(os.listdir(tmp_path / "flat")) == ["new", "newer"]


def test_a_hard_link_to_a_file_of_a_lower_layer_is_an_error_in_a_store(tmp_path: Path) -> None:
    image = Image.open(layout(tmp_path / "layout", archive([file("a")]), archive([hard("b", "a")])))
    with image, pytest.raises(ImageError, match="has not") as caught:
        image.unpacked(store=tmp_path / "store")
    assert caught.value.entry == "b"


def test_orders_to_an_overlay_are_not_taken_from_an_archive(tmp_path: Path) -> None:
    entry = Entry(b"a", Kind.FOLDER, 0o755)
    entry.xattrs = {b"trusted.overlay.redirect": b"/etc", b"user.overlay.opaque": b"y",
                    b"user.fine": b"1"}  # fmt: skip
    device = Entry(b"b", Kind.CHAR_DEVICE, device=(0, 0))
    image = Image.open(layout(tmp_path / "layout", archive([(entry, b""), (device, b"")])))
    with image:
        (found,) = image.unpacked(store=tmp_path / "store")
        assert os.listxattr(Path(found.path) / "a") == ["user.fine"]
        assert os.listdir(found.path) == ["a"]
        assert len(found.notes) == 2


def test_an_attribute_whose_name_cannot_be_is_left_out_with_a_note(tmp_path: Path) -> None:
    members = [
        (Entry(b"a", kind, 0o755, xattrs={b"": b"1", b"user." + b"x" * 300: b"1", b"user.b": b"1"}))
        for kind in (Kind.FILE, Kind.FOLDER)
    ]
    members[1].name = b"folder"
    image = Image.open(layout(tmp_path / "layout", archive([(one, b"") for one in members])))
    unpack(image, tmp_path)
    with image:
        (found,) = image.unpacked(store=tmp_path / "store")
    for name in ("a", "folder"):
        assert os.listxattr(Path(found.path) / name) == ["user.b"]
        assert all(name in note for note in found.notes)
    assert len(found.notes) == 2


BOMB = header(Entry(b"big", Kind.FILE, size=1 << 40))


def sparse(size: int) -> bytes:
    """A file that is one hole."""
    block = bytearray(header(Entry(b"hole", Kind.FILE)))
    block[156:157] = b"S"
    block[257:265] = b"ustar  \0"
    block[483:495] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + END


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (archive([file(str(number), b"") for number in range(200)]), "limits: entries"),
        (gzip.compress(archive([file("zeros", bytes(30 << 20))])), "limits: size"),
        (sparse(1 << 50), "limits: size"),
        (gzip.compress(archive([]) + bytes(30 << 20)), "limits: size"),
        (BOMB, "limits: size"),
    ],
    ids=["entries", "zeros", "a hole", "zeros after the end", "a size"],
)
def test_a_bomb_stops_at_the_limits(tmp_path: Path, data: bytes, problem: str) -> None:
    image = Image.open(layout(tmp_path / "layout", data))
    with pytest.raises(ImageError, match=problem) as caught:
        unpack(image, tmp_path, Limits(entries=100, size="20M"))
    assert caught.value.layer == sha256(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(archive([file("zeros", bytes(30 << 20))])), "limits: size"),
        (gzip.compress(archive([]) + bytes(30 << 20)), "limits: size"),
        (archive([file(str(number), b"") for number in range(200)]), "limits: entries"),
    ],
    ids=["zeros", "zeros after the end", "entries"],
)
def test_a_bomb_stops_at_the_limits_where_it_is_opened(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    (tmp_path / "image.tar").write_bytes(data)
    with pytest.raises(ImageError, match=problem):
        Image.open(tmp_path / "image.tar", limits=Limits(entries=100, size="20M"))
    assert Image.open(tmp_path / "image.tar").layers


def test_names_longer_than_any_are_not_kept_where_an_archive_is_listed(tmp_path: Path) -> None:
    long = Entry(b"a", Kind.SYMLINK, link=b"x" * 5000)
    members = [file("fine"), file("x" * 5000), (long, b"")]
    (tmp_path / "image.tar").write_bytes(archive(members))
    assert list(ArchiveFiles.of(str(tmp_path / "image.tar")).spans) == ["fine"]


GOOD = archive([folder("etc"), file("etc/file", random.Random(1).randbytes(3_000_000))])


@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        ({"digest": "sha256:" + "0" * 64}, "no file"),
        ({"digest": "sha256:../../../etc/passwd"}, "a digest"),
        ({"digest": "md5:" + "0" * 32}, "a digest"),
        ({"digest": None}, "a digest"),
        ({"size": len(GOOD) - 1}, "bytes and not"),
        ({"size": len(GOOD) + 1}, "bytes and not"),
        ({"size": -1}, "a size"),
        ({"size": "1"}, "a size"),
    ],
)
def test_a_wrong_descriptor_is_refused_when_the_image_is_opened(
    tmp_path: Path, lie: dict[str, object], problem: str
) -> None:
    with pytest.raises(ImageError, match=problem):
        Image.open(layout(tmp_path / "layout", GOOD, lie=lie))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_blob_that_was_changed_is_not_used(tmp_path: Path, compressed: bool) -> None:
    data = gzip.compress(GOOD, mtime=0) if compressed else GOOD
    image = Image.open(layout(tmp_path / "layout", data))
    blob = tmp_path / "layout/blobs/sha256" / sha256(data).partition(":")[2]
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    blob.write_bytes(changed)
    with pytest.raises(ImageError) as caught:
        unpack(image, tmp_path)
    assert caught.value.layer == sha256(data)
    assert not list((tmp_path / "store/layers").iterdir())


def test_a_wrong_diff_id_is_found_before_anything_is_used(tmp_path: Path) -> None:
    data = gzip.compress(GOOD, mtime=0)
    image = Image.open(layout(tmp_path / "layout", data, diff_ids=["sha256:" + "1" * 64]))
    with pytest.raises(ImageError, match="archive in it has the digest"):
        unpack(image, tmp_path)
    assert not list((tmp_path / "store/layers").iterdir())


@pytest.mark.parametrize("keep", [0, 100, 700, 5000, 2_000_000])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_layer_that_is_cut_off_is_refused(tmp_path: Path, compressed: bool, keep: int) -> None:
    """Also where digest and size are those of what is there."""
    data = (gzip.compress(GOOD, mtime=0) if compressed else GOOD)[:keep]
    blob = sha256(data)
    path = layout(tmp_path / "layout", b"", diff_ids=[sha256(GOOD)])
    (path / "blobs/sha256" / blob.partition(":")[2]).write_bytes(data)
    text = "".join(
        one.read_text()
        for one in (path / "blobs/sha256").iterdir()
        if b'layers":' in one.read_bytes() and b"schema" in one.read_bytes()
    )
    manifest = json.loads(text)
    manifest["layers"] = [{"digest": blob, "size": len(data)}]
    content = json.dumps(manifest).encode()
    (path / "blobs/sha256" / sha256(content).partition(":")[2]).write_bytes(content)
    index = json.loads((path / "index.json").read_text())
    index["manifests"][0] |= {"digest": sha256(content), "size": len(content)}
    (path / "index.json").write_text(json.dumps(index))
    with pytest.raises(ImageError):
        unpack(Image.open(path), tmp_path)
    assert not list((tmp_path / "store/layers").iterdir())


def test_a_fifo_in_a_blob_s_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = layout(tmp_path / "layout", GOOD)
    blob = path / "blobs/sha256" / sha256(GOOD).partition(":")[2]
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(ImageError):
        Image.open(path)


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b'{"manifests": 1}', b'{"manifests": [1]}', b"[" * 100_000],
)
def test_documents_that_are_none_are_refused(tmp_path: Path, document: bytes) -> None:
    path = layout(tmp_path / "layout", GOOD)
    (path / "index.json").write_bytes(document)
    with pytest.raises(ImageError):
        Image.open(path)


@pytest.mark.parametrize("described", [None, "text", [], [1], 1, {}])
def test_a_manifest_whose_configuration_is_none_is_refused(
    tmp_path: Path, described: object
) -> None:
    path = layout(tmp_path / "layout", GOOD)
    index = json.loads((path / "index.json").read_text())
    (one,) = index["manifests"]
    blobs = path / "blobs/sha256"
    manifest = json.loads((blobs / one["digest"].partition(":")[2]).read_text())
    content = json.dumps(manifest | {"config": described}).encode()
    (blobs / sha256(content).partition(":")[2]).write_bytes(content)
    one |= {"digest": sha256(content), "size": len(content)}
    (path / "index.json").write_text(json.dumps(index))
    with pytest.raises(ImageError, match="the manifest's config"):
        Image.open(path)


@pytest.mark.parametrize("tags", [{}, {"RepoTags": None}, {"RepoTags": 1}, {"RepoTags": "text"}])
def test_a_docker_archive_without_tags_has_no_image_of_any_name(
    tmp_path: Path, tags: dict[str, object]
) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = json.dumps([{"Config": "config.json", "Layers": []} | tags]).encode()
    members = [file("config.json", config), file("manifest.json", manifest)]
    (tmp_path / "docker.tar").write_bytes(archive(members))
    with pytest.raises(ImageError, match="no image called 't' is"):
        Image.open(tmp_path / "docker.tar", reference="t")
    assert Image.open(tmp_path / "docker.tar").layers == ()


def test_a_link_that_flips_while_it_is_unpacked_leads_nowhere(tmp_path: Path, canary: Path) -> None:
    """Somebody else in the folder: `deep` is a folder and a link out by turns."""
    members = [folder("deep")]
    members += [file(f"deep/{number}", b"x") for number in range(3000)]
    image = Image.open(layout(tmp_path / "layout", archive(members)))
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            for made in tmp_path.glob(".new-*/tree/deep"):
                other = made.parent / "other"
                try:
                    os.rename(made, other)
                    os.symlink(canary, made)
                    os.unlink(made)
                    os.rename(other, made)
                except OSError:
                    continue

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        for number in range(3):
            try:
                image.unpack(tmp_path / f"flat{number}")
            except (ImageError, OSError):
                continue
    finally:
        stop.set()
        flipper.join()
