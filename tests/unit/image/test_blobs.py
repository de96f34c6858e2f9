"""Blobs: compressed, decompressed, checked; and what an archive is read from."""

import gzip
import io
import sys
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import ImageError, UnsupportedError
from nsbox.image import compression as compressions
from nsbox.image.ahead import ahead
from nsbox.image.compression import compress, decompress
from nsbox.image.digest import Expected, chain_id, check_digest, digest_of, sha256
from nsbox.image.files import ArchiveFiles
from nsbox.image.media import Compression
from nsbox.image.span import BLOCK, Span
from nsbox.image.stream import BlockStream, SpanStream

ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def blocks(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.fixture(params=list(Compression))
def kind(request):
    if request.param is Compression.ZSTD:
        pytest.importorskip(ZSTD)
    return request.param


def test_what_is_compressed_is_decompressed(kind):
    @given(st.binary(max_size=5000), st.integers(1, 3000))
    def check(data, size):
        packed = b"".join(compress(blocks(data, size), kind))
        if kind is Compression.NONE and Compression.of(data) is not kind:
            return
        assert b"".join(decompress(blocks(packed, size))) == data

    check()


def test_the_same_is_compressed_to_the_same(kind):
    data = bytes(100_000)
    assert len({b"".join(compress([data], kind)) for _ in range(3)}) == 1


def test_no_block_grows_beyond_its_bound(kind):
    packed = b"".join(compress([bytes(40 << 20)], kind))
    if kind is not Compression.NONE:
        assert max(len(block) for block in decompress([packed])) <= BLOCK


def test_members_and_frames_that_follow_each_other_are_one(kind):
    one, two = (b"".join(compress([data], kind)) for data in (b"one " * 500, b"two"))
    for size in (1, 7, 10_000):
        assert b"".join(decompress(blocks(one + two, size))) == b"one " * 500 + b"two"


def test_what_is_cut_off_is_refused(kind):
    if kind is Compression.NONE:
        pytest.skip("without compression the archive itself tells")
    packed = b"".join(compress([bytes(range(256)) * 500], kind))
    for keep in (5, 20, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ImageError, match=r"too early|broken"):
            list(decompress([packed[:keep]]))
    with pytest.raises(ImageError, match="broken"):
        list(decompress([packed[:10] + b"\xff" * 50 + packed[60:]]))


def test_zeros_after_gzip_data_are_passed_over():
    assert b"".join(decompress([gzip.compress(b"data"), bytes(1000)])) == b"data"


def test_without_a_package_for_zstd_the_error_says_which(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(compressions.importlib, "import_module", missing)
    with pytest.raises(UnsupportedError, match=r"nsbox\[zstd\]"):
        list(decompress([Compression.ZSTD.magic + bytes(50)]))


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_content_is_passed_on_if_it_is_what_was_expected(data, size):
    expected = Expected("it", sha256(data), len(data))
    assert b"".join(expected.check(blocks(data, size))) == data
    assert digest_of(blocks(data, size)) == sha256(data)


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        (Expected("it", sha256(b"other"), 4), "has the digest"),
        (Expected("it", sha256(b"data"), 3), "longer"),
        (Expected("it", sha256(b"data"), 5), "ends after"),
        (Expected("it", "sha512:" + "0" * 128), "has the digest"),
    ],
)
def test_content_that_is_another_is_refused(expected, problem):
    with pytest.raises(ImageError, match=problem):
        list(expected.check([b"da", b"ta"]))


@given(st.one_of(st.text(), st.integers(), st.none(), st.from_regex(r"sha256:[0-9a-f]{60,70}")))
def test_a_digest_names_no_other_file(value):
    try:
        found = check_digest(value, "it")
    except ImageError:
        return
    assert found.isascii()
    assert len(found) == len("sha256:") + 64


def test_a_chain_id_is_that_of_the_specification():
    one, two = ("sha256:" + digit * 64 for digit in "12")
    assert chain_id(None, one) == one
    assert chain_id(one, two) == sha256(f"{one} {two}".encode())


@given(st.binary(max_size=2000), st.integers(1, 100), st.lists(st.integers(0, 300), max_size=9))
def test_streams_over_blocks_and_over_a_file_give_the_same(tmp_path_factory, data, size, counts):
    path = tmp_path_factory.mktemp("span") / "file"
    path.write_bytes(b"before" + data)
    one = BlockStream(iter(blocks(data, size)))
    two = SpanStream(Span(str(path), 6, len(data)))
    at = 0
    for number, count in enumerate(counts):
        if number % 2 and at + count <= len(data):
            one.skip(count)
            two.skip(count)
        else:
            assert one.read(count) == two.read(count) == data[at : at + count]
        at = min(at + count, len(data))


def test_blocks_made_ahead_come_in_order_and_so_does_the_error():
    def make():
        yield from (b"%d" % number for number in range(100))
        raise zlib.error("at the end")

    found = []
    with pytest.raises(zlib.error, match="at the end"):
        found.extend(ahead(make()))
    assert found == [b"%d" % number for number in range(100)]


def test_who_stops_taking_blocks_stops_who_makes_them():
    made = []

    def make():
        for number in range(10_000):
            made.append(number)
            yield b"x"

    taken = ahead(make())
    next(taken)
    taken.close()
    assert len(made) < 100


def test_links_among_an_archive_s_files_are_followed_but_not_for_ever(tmp_path):
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("one/layer.tar")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"layer"))
        for name, target in (("two/layer.tar", "../one/layer.tar"), ("a", "b"), ("b", "a")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    files = ArchiveFiles.of(str(path))
    assert files.span("two/layer.tar").document() == b"layer"
    assert files.span("./one/../two/layer.tar").document() == b"layer"
    for name in ("a", "none", "/etc/passwd", "../one/layer.tar"):
        with pytest.raises(ImageError, match="no file"):
            files.span(name)
