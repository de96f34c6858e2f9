"""The groups of a task and the controllers of a kernel, as the kernel writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.procfs import (
    CgroupMembership,
    Controller,
    decode,
    parse_cgroup,
    parse_controllers,
    shown_at,
)

HYBRID = """12:cpu,cpuacct:/user.slice
11:memory:/a:b (deleted)
2:name=systemd:/user.slice/session-1.scope
1:freezer,name=odd:/
0::/user.slice/user-1000.slice
"""
CONTROLLERS = """#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t3\t2\t1
memory\t4\t11\t0
net_cls\t0\t3\t1
"""


def test_v1_v2_and_named_hierarchies_are_told_apart():
    assert parse_cgroup(HYBRID) == (
        CgroupMembership(12, ("cpu", "cpuacct"), None, "/user.slice"),
        CgroupMembership(11, ("memory",), None, "/a:b (deleted)"),
        CgroupMembership(2, (), "systemd", "/user.slice/session-1.scope"),
        CgroupMembership(1, ("freezer",), "odd", "/"),
        CgroupMembership(0, (), None, "/user.slice/user-1000.slice"),
    )


@pytest.mark.parametrize(
    "path", ["/a b", "/a:b", "/x (deleted)", "/..", "/tab\there", "/\x0c\x1e\x85"]
)
def test_a_path_stays_as_it_is_written(path):
    assert parse_cgroup(f"0::{path}\n")[0].path == path


@pytest.mark.parametrize(
    "line",
    [
        "",
        "0:/",
        "0:memory:/",
        "1::/",
        "0::relative",
        "0::",
        "-1:memory:/",
        "1_0:memory:/",
        " 1:memory:/",
        "1:memory,:/",
        "1:,memory:/",
        "1:name=:/",
        "\u0661:memory:/",
    ],
)
def test_a_line_that_is_no_membership_is_refused(line):
    with pytest.raises(ValueError, match="cgroup, line 2: expected "):
        parse_cgroup(f"0::/\n{line}\n")


def test_controllers_are_read_without_their_heading():
    assert parse_controllers(CONTROLLERS) == (
        Controller("cpuset", 3, 2, True),
        Controller("memory", 4, 11, False),
        Controller("net_cls", 0, 3, True),
    )


@pytest.mark.parametrize(
    "line", ["", "cpu\t1\t2", "cpu 1 2 1", "cpu\t1\t2\t2", "\t1\t2\t1", "cpu\tx\t2\t1"]
)
def test_a_line_that_is_no_controller_is_refused(line):
    with pytest.raises(ValueError, match="cgroups, line 2: expected "):
        parse_controllers(f"cpu\t1\t2\t1\n{line}\n")


# A group's name is that of a folder: any byte but NUL and, as cgroups forbid it, a newline.
paths = st.binary(max_size=20).map(
    lambda name: "/" + decode(name.replace(b"\0", b"").replace(b"\n", b""))
)
words = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
v1 = st.builds(
    CgroupMembership,
    st.integers(1, 2**31),
    st.lists(words, min_size=1, max_size=3).map(tuple),
    st.none() | words,
    paths,
)
named = st.builds(CgroupMembership, st.integers(1, 99), st.just(()), words, paths)
v2 = st.builds(CgroupMembership, st.just(0), st.just(()), st.none(), paths)


def written(membership):
    name = [f"name={membership.name}"] if membership.name is not None else []
    listed = ",".join([*membership.controllers, *name])
    return f"{membership.hierarchy_id}:{listed}:{membership.path}\n"


@given(st.lists(v1 | named | v2, max_size=5))
def test_memberships_are_read_back(memberships):
    assert parse_cgroup("".join(map(written, memberships))) == tuple(memberships)


controllers = st.builds(Controller, words, st.integers(0, 99), st.integers(0, 2**31), st.booleans())


@given(st.lists(controllers, max_size=5))
def test_controllers_are_read_back(listed):
    lines = (f"{c.name}\t{c.hierarchy_id}\t{c.num_cgroups}\t{c.enabled:d}\n" for c in listed)
    assert parse_controllers("#heading\n" + "".join(lines)) == tuple(listed)


pieces = st.lists(
    st.sampled_from(["0", "1", ":", ",", "/", "memory", "name=", "\t", "\n", "#", "x"])
)
texts = st.text() | pieces.map("".join)


@given(texts)
def test_any_text_gives_memberships_or_a_value_error(attempt, text):
    found, complaint = attempt(parse_cgroup, text)
    if complaint is not None:
        assert complaint.startswith("cgroup, line ")
    else:
        again = "".join(map(written, found))
        assert parse_cgroup(again) == found
        assert all(membership.path.startswith("/") for membership in found)


@given(texts)
def test_any_text_gives_controllers_or_a_value_error(attempt, text):
    found, complaint = attempt(parse_controllers, text)
    if complaint is not None:
        assert complaint.startswith("cgroups, line ")
    else:
        assert all(controller.name for controller in found)


@pytest.mark.parametrize(
    ("root", "path", "directory"),
    [
        ("/", "/", "/mnt"),
        ("/", "/a/b", "/mnt/a/b"),
        ("/a", "/a", "/mnt"),
        ("/a", "/a/b", "/mnt/b"),
        ("/a", "/", None),
        ("/a", "/ab", None),
        ("/", "/../x", None),
        ("/..", "/../..", None),
    ],
)
def test_a_mount_shows_the_groups_below_its_root_only(root, path, directory):
    assert shown_at(root, "/mnt", path) == directory
