"""Mounts and the types of file systems, as the kernel writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.procfs import MountInfo, decode, parse_filesystems, parse_mountinfo

SAMPLE = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,discard
412 29 0:52 /a\040folder /mnt/tab\011new\012line\134slash ro,nosuid shared:7 master:3 propagate_from:2 - tmpfs none rw
60 29 0:40 / /mnt/x rw unbindable - overlay overlay rw,lowerdir=/a\054b:/c
77 29 0:41 / /empty rw - tmpfs  rw
"""


def one(line):
    (mount,) = parse_mountinfo(line)
    return mount


def test_a_real_file_is_read_line_by_line():
    mounts = parse_mountinfo(SAMPLE)
    assert [mount.mount_id for mount in mounts] == [22, 36, 29, 412, 60, 77]
    assert mounts[1] == MountInfo(
        36,
        35,
        (98, 0),
        "/mnt1",
        "/mnt2",
        ("rw", "noatime"),
        None,
        1,
        None,
        False,
        "ext3",
        "/dev/root",
        ("rw", "errors=continue"),
    )


def test_octal_escapes_are_decoded():
    mount = parse_mountinfo(SAMPLE)[3]
    assert mount.root == "/a folder"
    assert mount.mount_point == "/mnt/tab\tnew\nline\\slash"
    assert (mount.shared, mount.master, mount.propagate_from) == (7, 3, 2)


def test_a_comma_inside_of_an_option_does_not_cut_it():
    mount = parse_mountinfo(SAMPLE)[4]
    assert mount.super_options == ("rw", "lowerdir=/a,b:/c")
    assert mount.unbindable


def test_a_source_may_be_empty():
    assert parse_mountinfo(SAMPLE)[5].source == ""


def test_tags_of_kinds_that_are_yet_to_come_are_passed_over():
    assert one("1 2 0:3 / /x rw shared:4 novel:5 strange - tmpfs none rw").shared == 4


def test_the_last_field_takes_unescaped_spaces():
    assert one("1 2 0:3 / /x rw - nfs host:/e rw,opt=a b").super_options == ("rw", "opt=a b")


def test_a_backslash_that_starts_no_escape_stands_for_itself():
    mount = one(r"1 2 0:3 / /x rw - cifs \\server\share rw,user=DOM\name")
    assert mount.super_options == ("rw", r"user=DOM\name")


def test_names_that_are_no_utf_8_keep_their_bytes():
    mount = one(decode(b"1 2 0:3 / /\xff\x0c\xe2\x80\xa8\\040x rw - tmpfs none rw"))
    assert mount.mount_point.encode(errors="surrogateescape") == b"/\xff\x0c\xe2\x80\xa8 x"


@pytest.mark.parametrize(
    "line",
    [
        "1 2 0:3 / /x rw",
        "1 2 0:3 / /x - tmpfs none rw",
        "1 2 0:3 / /x rw - tmpfs none",
        "1 2 03 / /x rw - tmpfs none rw",
        "x 2 0:3 / /x rw - tmpfs none rw",
        "-1 2 0:3 / /x rw - tmpfs none rw",
        "1 2 0:3 / x rw - tmpfs none rw",
        "1 2 0:3  /x rw - tmpfs none rw",
        "1 2 0:3 / /x rw shared: - tmpfs none rw",
        "1 2 0:3 / /x rw shared:one - tmpfs none rw",
        "",
    ],
)
def test_a_line_that_is_no_mount_is_refused_by_its_number(line):
    with pytest.raises(ValueError, match="mountinfo, line 2: expected "):
        parse_mountinfo(SAMPLE.splitlines()[0] + "\n" + line + "\n")


def test_no_mounts_are_no_error():
    assert parse_mountinfo("") == ()


# Names as file systems keep them: any byte but NUL. The kernel escapes what would be a separator.
names = st.binary(max_size=12).map(lambda name: decode(name.replace(b"\0", b"")))
paths = names.map(lambda name: "/" + name)
ids = st.integers(0, 2**31)
peers = st.none() | ids
options = st.lists(names, min_size=1, max_size=3).map(tuple)
mounts = st.builds(
    MountInfo,
    ids,
    ids,
    st.tuples(ids, ids),
    paths,
    paths,
    options,
    peers,
    peers,
    peers,
    st.booleans(),
    names.filter(bool),
    names,
    options,
)


def written(mount):
    """Write a mount as the kernel does."""
    tags = {
        "shared": mount.shared,
        "master": mount.master,
        "propagate_from": mount.propagate_from,
    }
    fields = [
        str(mount.mount_id),
        str(mount.parent_id),
        "{}:{}".format(*mount.device),
        escaped(mount.root),
        escaped(mount.mount_point),
        ",".join(escaped(option, ",") for option in mount.options),
        *(f"{tag}:{group}" for tag, group in tags.items() if group is not None),
        *(["unbindable"] if mount.unbindable else []),
        "-",
        escaped(mount.fs_type),
        escaped(mount.source),
        ",".join(escaped(option, ",") for option in mount.super_options),
    ]
    return " ".join(fields) + "\n"


def escaped(text, also=""):
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" + also else c for c in text)


@given(st.lists(mounts, max_size=4))
def test_what_the_kernel_writes_is_read_back(listed):
    assert parse_mountinfo("".join(map(written, listed))) == tuple(listed)


lines = st.lists(
    st.sampled_from(
        ["1", "0:3", "/", "/x", "rw", "-", "shared:1", "tmpfs", "none", "", "a b", "\\040"]
    ),
    max_size=12,
).map(" ".join)


@given(st.text() | lines | st.lists(lines).map("\n".join))
def test_any_text_gives_mounts_or_a_value_error(attempt, text):
    found, complaint = attempt(parse_mountinfo, text)
    if complaint is not None:
        assert complaint.startswith("mountinfo, line ")
    else:
        assert len(found) == len(text.removesuffix("\n").split("\n")) if text else not found
        assert all(mount.mount_point.startswith("/") and mount.fs_type for mount in found)


def test_file_system_types_are_read_with_and_without_nodev():
    assert parse_filesystems("nodev\tproc\n\text4\nnodev\toverlay\n") == {"proc", "ext4", "overlay"}
    assert parse_filesystems("") == frozenset()


@pytest.mark.parametrize("line", ["ext4", "nodev ext4", "dev\text4", "nodev\t", "\t", ""])
def test_a_line_that_is_no_file_system_type_is_refused(line):
    with pytest.raises(ValueError, match="filesystems, line 1: expected "):
        parse_filesystems(line + "\n")


type_names = names.map(lambda name: name.replace("\n", "")).filter(bool)


@given(st.lists(st.tuples(st.booleans(), type_names)))
def test_file_system_types_are_read_back(listed):
    text = "".join(f"{'nodev' if nodev else ''}\t{name}\n" for nodev, name in listed)
    assert parse_filesystems(text) == {name for _, name in listed}


@given(st.text())
def test_any_text_gives_file_system_types_or_a_value_error(attempt, text):
    found, _ = attempt(parse_filesystems, text)
    assert all(f"\t{name}" in text for name in found or ())
