"""Whose ids may be mapped, as subuid(5) grants them: an ordinary caller and a privileged one."""

import pytest

from nsbox import IDMap, UnsupportedError
from nsbox.caller import Caller
from nsbox.constants import Capability
from nsbox.namespace import ranges
from nsbox.procfs import IDMapLine

UID, GID = 4242424, 4343434  # no user of this host's, and so without a name


@pytest.fixture
def granted(tmp_path, monkeypatch):
    """Let subuid(5) and subgid(5) grant other ranges than on this host."""

    def grant(uids, gids=None):
        files = {"uid": uids, "gid": uids if gids is None else gids}
        for kind, text in files.items():
            if text is not None:
                (tmp_path / kind).write_text(text)
        paths = {kind: str(tmp_path / kind) for kind in files}
        monkeypatch.setattr(ranges, "_FILES", paths)
        monkeypatch.setattr(ranges, "_program", lambda kind: f"new{kind}map")

    return grant


def caller(capabilities=Capability(0), uid=UID):
    return Caller(uid, GID, capabilities, "/", 1)


PRIVILEGED = caller(Capability.CAP_SETUID | Capability.CAP_SETGID, uid=0)


def test_the_subordinate_ids_follow_the_starters_own(granted):
    granted(f"{UID}:100000:65536\nsomebody:1:2\n{UID}:300000:10\n", f"{UID}:500000:7\n")
    assert ranges.resolve(IDMap.subordinate(), caller()) == {
        "uid": (
            IDMapLine(0, UID, 1),
            IDMapLine(1, 100000, 65536),
            IDMapLine(65537, 300000, 10),
        ),
        "gid": (IDMapLine(0, GID, 1), IDMapLine(1, 500000, 7)),
    }


def test_a_range_that_is_granted_twice_is_mapped_once(granted):
    granted(f"{UID}:100000:65536\n{UID}:100000:65536\n")
    lines = ranges.resolve(IDMap.subordinate(), caller())
    assert lines["uid"] == (IDMapLine(0, UID, 1), IDMapLine(1, 100000, 65536))


@pytest.mark.parametrize("text", ["", "somebody:100000:65536\n", None])
def test_who_is_granted_nothing_is_told_the_file(granted, text):
    granted(text)
    with pytest.raises(UnsupportedError, match=f"^id_map: .* grants no range to user {UID}"):
        ranges.resolve(IDMap.subordinate(), caller())


@pytest.mark.parametrize(
    "lines",
    [
        [(0, UID, 1)],
        [(0, UID, 1), (1, 100000, 65536)],
        [(0, 100000, 1), (7, 165535, 1)],
        [(0, 100010, 20)],
    ],
)
def test_what_is_granted_and_ones_own_id_can_be_mapped(granted, lines):
    granted(f"{UID}:100000:65536\n")
    gids = [(inside, GID if outside == UID else outside, count) for inside, outside, count in lines]
    id_map = IDMap.ranges(lines, gids)
    assert ranges.resolve(id_map, caller()) == {"uid": id_map.uids, "gid": id_map.gids}


@pytest.mark.parametrize(
    "line", [(0, 0, 1), (0, 99999, 2), (0, 165535, 2), (0, UID, 2), (0, GID, 1)]
)
def test_what_is_not_granted_is_refused_with_what_is(granted, line):
    granted(f"{UID}:100000:65536\n")
    with pytest.raises(UnsupportedError, match="grants 100000 to 165535"):
        ranges.resolve(IDMap.ranges([line], [(0, GID, 1)]), caller())
    if line != (0, GID, 1):
        gids = [line] if line[1] != UID else [(0, GID, 2)]
        with pytest.raises(UnsupportedError, match="grants 100000 to 165535"):
            ranges.resolve(IDMap.ranges([(0, UID, 1)], gids), caller())


def test_a_file_that_breaks_its_format_is_named(granted):
    granted("no colon\n")
    with pytest.raises(UnsupportedError, match=r"uid cannot be read: .*owner:start:count"):
        ranges.resolve(IDMap.subordinate(), caller())


def test_whoever_may_map_any_id_needs_no_grant(granted):
    granted(None)
    id_map = IDMap.ranges([(0, 7, 1000)])
    assert ranges.resolve(id_map, PRIVILEGED) == {"uid": id_map.uids, "gid": id_map.gids}


def test_half_the_capabilities_are_none(granted):
    granted(None)
    with pytest.raises(UnsupportedError, match="grants nothing"):
        ranges.resolve(IDMap.ranges([(0, 7, 1)]), caller(Capability.CAP_SETUID))


def test_without_newuidmap_the_package_is_named(granted, monkeypatch, tmp_path):
    program = ranges._program
    granted(f"{UID}:100000:65536\n")
    monkeypatch.setattr(ranges, "_program", program)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnsupportedError, match=r"newuidmap\(1\)"):
        ranges.resolve(IDMap.subordinate(), caller())
