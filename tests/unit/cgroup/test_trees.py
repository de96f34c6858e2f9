"""Real trees are read as what was written down by hand.

They are text archives, unpacked to a folder for each test. `v1`, `v2` and `hybrid` were captured on
running kernels (6.1 and 6.18); the others are written after what Docker and systemd show. In the
`.json` beside each stands what it says.
"""

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from nsbox import Cgroup, Resources, UnsupportedError, hierarchies, subsystems
from nsbox.cgroup.hierarchy import Hierarchy, groups_of, own_groups

FOLDER = Path(__file__).parent / "trees"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))

_FILE = re.compile(r"^-- (\S+) --\n", re.M)


def unpack(name: str, root: Path) -> Path:
    """Write the tree's files below a folder; they cannot be told from the kernel's by reading."""
    _, *parts = _FILE.split((FOLDER / f"{name}.txt").read_text())
    for path, text in zip(parts[::2], parts[1::2], strict=True):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def expected(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.fixture(params=NAMES)
def tree(request: Any, tmp_path: Path) -> tuple[Path, Any]:
    return unpack(request.param, tmp_path), expected(request.param)


def below(root: Path, path: str) -> str:
    return str(root) + path


def test_the_hierarchies_and_their_subsystems(tree):
    root, told = tree
    found = [
        (h.version, h.mountpoint.removeprefix(str(root)), sorted(h.subsystems), h.name, h.root)
        for h in hierarchies(root)
    ]
    assert found == [tuple(row) for row in told["hierarchies"]]
    assert set(subsystems(root)) == {name for row in told["hierarchies"] for name in row[2]}
    for name, subsystem in subsystems(root).items():
        assert subsystem.name == name
        assert name in subsystem.hierarchy.subsystems


def test_hierarchies_are_values(tree):
    root, _ = tree
    assert hierarchies(root) == hierarchies(root)
    assert len({*hierarchies(root), *hierarchies(root)}) == len(hierarchies(root))


def test_the_callers_own_groups(tree):
    root, told = tree
    own = {h.mountpoint: folder for h, folder in own_groups(root).items()}
    for mountpoint, folder in told["own"].items():
        assert own[below(root, mountpoint)] == below(root, folder)


def test_the_groups_of_other_tasks(tree):
    root, told = tree
    for pid, groups in told["tasks"].items():
        found = groups_of(int(pid), hierarchies(root), root)
        by_key = {key: folder for h, folder in found.items() for key in h.keys}
        assert {key: by_key[key] for key in groups} == {
            key: below(root, folder) for key, folder in groups.items()
        }
        assert bool(by_key) is bool(groups)


def test_groups_their_limits_and_figures(tree):
    root, told = tree
    for name, says in told["groups"].items():
        where = below(root, name) if name.startswith("/") else name
        group = Cgroup.open(where, root=root)
        assert (group.depth, group.path) == (says["depth"], says["path"])
        assert [child.name for child in group.children] == says["children"]
        assert sorted(group.pids) == says["pids"]
        read = group.resources
        for field, value in says["resources"].items():
            wanted = frozenset(value) if "cpuset" in field and isinstance(value, list) else value
            assert getattr(read, field) == (tuple(wanted) if isinstance(wanted, list) else wanted)
        stats = group.stats()
        for path, value in says["stats"].items():
            assert reduce(getattr, path.split("."), stats) == value, path
        for part in says.get("without", ()):
            with pytest.raises(UnsupportedError, match=part):
                getattr(stats, part)
        assert group.tree().startswith(group.name)


def test_what_has_devices_in_it(tmp_path):
    root = unpack("container-v2", tmp_path)
    group = Cgroup.open(root / "sys/fs/cgroup", root=root)
    limits = group.resources
    assert limits.io_max is not None
    assert limits.io_max["8:0"].rbps == 1 << 20
    assert limits.io_max["8:0"].wiops == 120
    assert limits.rdma_max is not None
    assert limits.rdma_max["mlx4_0"].hca_object == "max"
    assert dict(limits.misc_max or {}) == {"sev": "max", "sev_es": 5}
    stats = group.stats()
    assert set(stats.io.devices) == {"8:0"}  # a line without figures is no device that did anything
    assert stats.rdma.devices["mlx4_0"].hca_object == 20
    assert (stats.misc.current["sev_es"], stats.misc.max_hits["sev_es"]) == (3, 4)


def test_a_group_that_is_not_there_is_said_to_be_missing(tree):
    root, _ = tree
    with pytest.raises(FileNotFoundError, match="no-such-group"):
        Cgroup.open("no-such-group", root=root)
    with pytest.raises(ProcessLookupError):
        groups_of(4_000_000, hierarchies(root), root)


@pytest.mark.parametrize("subsystem", [None, "cpu"])
def test_a_task_whose_group_is_gone_is_in_none(tmp_path, subsystem):
    root = unpack("v2", tmp_path)
    (root / "proc/77").mkdir()
    (root / "proc/77/cgroup").write_text("0::/gone (deleted)\n")
    with pytest.raises(ProcessLookupError, match="77"):
        Cgroup.of(77, subsystem, root=root)


def test_groups_are_equal_where_they_span_the_same_hierarchy(tmp_path):
    root = unpack("hybrid", tmp_path)
    web = Cgroup.open("nsbox-corpus/web", root=root)
    by_memory = Cgroup.of(417, "memory", root=root)
    by_cpu = Cgroup.of(417, "cpu", root=root)
    assert by_memory == web
    assert by_cpu == web
    assert by_memory != by_cpu  # nothing is shared that could say that they are one
    assert {hash(by_memory), hash(by_cpu)} == {hash(web)}
    assert web != Cgroup.open("nsbox-corpus", root=root)
    assert web.parent == Cgroup.open("nsbox-corpus", root=root)
    assert Cgroup.of(417, root=root) == web


def test_the_group_above_the_root_is_none(tmp_path):
    root = unpack("v2", tmp_path)
    top = Cgroup.open("nsbox-corpus", root=root).parent
    assert top is not None
    assert (top.name, top.path, top.depth, top.parent) == ("/", "/", 0, None)


def test_a_hierarchy_maps_paths_only_where_it_shows_them():
    part = Hierarchy(1, "/m", frozenset({"memory"}), root="/docker/a")
    assert part.directory("/docker/a") == "/m"
    assert part.directory("/docker/a/b") == "/m/b"
    assert part.directory("/docker/ab") is None
    assert part.directory("/") is None
    assert part.keys == {"memory"}
    assert Hierarchy(2, "/m", frozenset()).directory("/../x") is None


def test_resources_read_back_can_be_set_again(tree):
    root, told = tree
    for name in told["groups"]:
        where = below(root, name) if name.startswith("/") else name
        read = Cgroup.open(where, root=root).resources
        assert Resources(**read.given) == read
