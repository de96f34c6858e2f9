"""Archives read and written: held against the standard library's tarfile, and against hostility."""

import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import ImageError
from nsbox.image import pax
from nsbox.image.entry import Entry, Kind
from nsbox.image.header import END, header, padded
from nsbox.image.stream import BlockStream
from nsbox.image.untar import MAX_EXTENSION, Untar, number

NAMES = st.binary(min_size=1, max_size=260).filter(lambda name: b"\0" not in name)
FINE = st.integers(-(2**40) * 10**9, 2**40 * 10**9)
IDS = st.one_of(st.integers(0, 2**32 - 2), st.integers(0, 70_000))


def blocks(data: bytes, size: int = 700):
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 700):
    """Everything in an archive: (entry, content) each."""
    archive = Untar(BlockStream(blocks(data, size)))
    found = []
    for entry in archive:
        content = bytearray(entry.size if entry.kind is Kind.FILE else 0)
        for offset, piece in archive.content(entry):
            content[offset : offset + len(piece)] = piece
        found.append((entry, bytes(content)))
    return found


entries = st.builds(
    Entry,
    NAMES.filter(lambda name: not name.endswith(b"/")),
    st.sampled_from(Kind),
    st.integers(0, 0o7777),
    IDS,
    IDS,
    mtime_ns=FINE,
    link=NAMES,
    device=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
    xattrs=st.dictionaries(
        st.sampled_from([b"user.one", b"security.capability"]), st.binary(max_size=600)
    ),
)


@given(st.lists(st.tuples(entries, st.binary(max_size=1500)), max_size=4), st.integers(1, 2000))
def test_what_is_written_is_read_back(written, size):
    data = b""
    for entry, content in written:
        entry.size = len(content) if entry.kind is Kind.FILE else 0
        if entry.kind not in (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE):
            entry.device = (0, 0)
        data += header(entry) + (padded(content) if entry.kind is Kind.FILE else b"")
    found = read(data + END, size)
    assert [entry for entry, _ in found] == [entry for entry, _ in written]
    assert [content for entry, content in found if entry.kind is Kind.FILE] == [
        content for entry, content in written if entry.kind is Kind.FILE
    ]


@given(entries, st.binary(max_size=1500))
def test_tarfile_reads_what_is_written(entry, content):
    entry.size = len(content) if entry.kind is Kind.FILE else 0
    entry.xattrs = {}
    data = header(entry) + (padded(content) if entry.kind is Kind.FILE else b"") + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
        assert os.fsencode(member.name) == entry.name.rstrip(b"/")
        assert member.type == entry.kind.value
        assert (member.uid, member.gid, member.mode) == (entry.uid, entry.gid, entry.mode)
        assert member.mtime == pytest.approx(entry.mtime_ns / 1e9)
        if entry.kind is Kind.FILE:
            assert archive.extractfile(member).read() == content


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(data=st.data())
def test_what_tarfile_writes_is_read(form, data):
    most = 90 if form == tarfile.USTAR_FORMAT else 300
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)
    members = []
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in data.draw(st.lists(text, max_size=4)):
            member = tarfile.TarInfo(name + "x" * data.draw(st.integers(0, most - 80)))
            member.mtime = data.draw(st.integers(0, 2**33 - 1))
            member.uid = data.draw(st.integers(0, 2**21 - 1))
            content = data.draw(st.binary(max_size=900))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            members.append((os.fsencode(member.name), member.mtime, member.uid, content))
    found = [
        (entry.name, entry.mtime_ns // 10**9, entry.uid, content)
        for entry, content in read(stream.getvalue())
    ]
    assert found == members


@given(st.binary(max_size=3000))
def test_noise_is_refused_or_empty(data):
    try:
        found = read(data)
    except ImageError:
        return
    assert found == []


@given(st.integers(0, 4 * 512), st.integers(0, 255))
def test_one_wrong_byte_is_never_taken_for_the_end(at, value):
    """As tarfile does it: a broken header in the middle would hide all that follows."""
    entry = Entry(b"name", Kind.FILE, size=3)
    data = bytearray((header(entry) + padded(b"abc")) * 3 + END)
    if data[at] == value or data[at : at + 1].isspace():
        return
    data[at] = value
    try:
        found = read(bytes(data))
    except ImageError:
        return
    assert len(found) == 3


@pytest.mark.parametrize("length", [100, 512, 513, 600, 1030])
def test_an_archive_that_is_cut_off_is_refused(length):
    data = header(Entry(b"name", Kind.FILE, size=700)) + padded(b"x" * 700) + END
    with pytest.raises(ImageError, match="cut off"):
        read(data[:length])


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (b"0 =\n", "broken pax"),
        (b"99 path=x\n", "broken pax"),
        (b"x path=x\n", "without a length"),
        (pax.record(b"path", b"a\0b"), "null byte"),
        (pax.record(b"GNU.sparse.name", b"a\0b"), "null byte"),
        (pax.record(b"SCHILY.xattr.user.a\0b", b"1"), "null byte"),
        (pax.record(b"size", b"-1"), "number"),
        (pax.record(b"size", b"1" * 40), "number"),
        (pax.record(b"mtime", b"soon"), "time"),
        (pax.record(b"GNU.sparse.realsize", b"5") + pax.record(b"GNU.sparse.map", b"9,9"), "fit"),
        (pax.record(b"GNU.sparse.size", b"9") + pax.record(b"GNU.sparse.map", b"1"), "broken map"),
    ],
)
def test_a_broken_pax_record_is_refused(records, problem):
    extended = Entry(b"pax", Kind.FILE, size=len(records))
    block = bytearray(header(extended))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data = bytes(block) + padded(records) + header(Entry(b"name", Kind.FILE)) + END
    with pytest.raises(ImageError, match=problem):
        read(data)


def test_a_long_extension_is_refused_before_it_is_read():
    block = bytearray(header(Entry(b"pax", Kind.FILE, size=MAX_EXTENSION + 1)))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(ImageError, match="too long"):
        read(bytes(block))


@pytest.mark.parametrize("flag", [b"x", b"X", b"g", b"L", b"K"])
@pytest.mark.parametrize("size", [0, 1 << 16])
def test_extensions_of_one_entry_are_too_long_together(flag, size):
    """However many there are, and however small: none is an entry that a limit could count."""
    data = pax.record(b"comment", bytes(size))[:-1] + b"\n" if size else b""
    block = bytearray(header(Entry(b"extension", Kind.FILE, size=len(data))))
    block[156:157] = flag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    one = bytes(block) + padded(data)
    last = header(Entry(b"name", Kind.FILE)) + END
    few = MAX_EXTENSION // (len(data) + 512) - 1
    assert len(read(one * few + last)) == 1
    with pytest.raises(ImageError, match="too long"):
        read(one * (few + 3) + last)


@given(st.integers(-(2**63), 2**63 - 1))
def test_binary_numbers_are_read(value):
    field = (value & ((1 << 95) - 1) | 1 << 95).to_bytes(12, "big")
    assert number(field) == value


@given(st.binary(min_size=1, max_size=30), st.binary(max_size=1200))
def test_a_pax_record_is_read_back(key, value):
    key = key.replace(b"=", b"_")
    assert pax.records(pax.record(key, value)) == [(key, value)]
