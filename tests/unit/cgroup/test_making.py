"""Where a group is made and by which steps, in every layout: nothing is made to know it."""

import re
from pathlib import Path

import pytest

from nsbox import IOMax, Resources, UnsupportedError
from nsbox.cgroup import lower as boxes
from nsbox.cgroup import making
from nsbox.cgroup.hierarchy import Hierarchy, own_groups

FOLDER = Path(__file__).parent / "trees"


@pytest.fixture
def layout(tmp_path):
    def unpack(name: str) -> Path:
        _, *parts = re.split(r"(?m)^-- (\S+) --\n", (FOLDER / f"{name}.txt").read_text())
        for path, text in zip(parts[::2], parts[1::2], strict=True):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return unpack


def printed(root: Path, wish: Resources, subsystems=(), *, controlled=True) -> list[str]:
    places = making.own_places(subsystems, wish, own_groups(root), controlled=controlled)
    steps = making.steps(places, "new", wish)
    return [str(step).replace(f"{root}/sys/fs/cgroup", "") for step in steps]


WISH = Resources(memory_max="64M", cpu_max=0.5, pids_max=10)


def test_on_v2_it_is_one_folder_whose_controllers_are_handed_down_first(layout):
    assert printed(layout("v2"), WISH) == [
        'mkdir("/new", 0755)',
        'write("/new/cpu.max", "50000 100000")',
        'write("/new/memory.max", "67108864")',
        'write("/new/pids.max", "10")',
    ]  # all are handed down already by this tree's root
    assert printed(layout("v2"), Resources(misc_max={"sev": 1}))[0] == (
        'write("/cgroup.subtree_control", "+misc")'
    )


def test_on_v1_it_is_a_folder_in_each_hierarchy_and_in_the_freezers(layout):
    assert printed(layout("v1"), WISH) == [
        'mkdir("/cpu,cpuacct/new", 0755)',
        'write("/cpu,cpuacct/new/cpu.cfs_period_us", "100000")',
        'write("/cpu,cpuacct/new/cpu.cfs_quota_us", "50000")',
        'mkdir("/pids/new", 0755)',
        'write("/pids/new/pids.max", "10")',
        'mkdir("/memory/new", 0755)',
        'write("/memory/new/memory.limit_in_bytes", "67108864")',
        'mkdir("/freezer/new", 0755)',
    ]
    assert "freezer" not in " ".join(printed(layout("v1"), WISH, controlled=False))


def test_on_a_hybrid_host_v2_is_for_stopping_and_cpuacct_counts_for_cpu(layout):
    steps = printed(layout("hybrid"), WISH)
    assert [step for step in steps if step.startswith("mkdir")] == [
        'mkdir("/pids/new", 0755)',
        'mkdir("/memory/machine/6f1b0c/new", 0755)',
        'mkdir("/cpuacct/new", 0755)',
        'mkdir("/cpu/new", 0755)',
        'mkdir("/unified/new", 0755)',
    ]


def test_what_only_counts_is_for_those_whom_somebody_can_ask(layout):
    steps = printed(layout("hybrid"), WISH, controlled=False)
    assert [step for step in steps if step.startswith("mkdir")] == [
        'mkdir("/pids/new", 0755)',
        'mkdir("/memory/machine/6f1b0c/new", 0755)',
        'mkdir("/cpu/new", 0755)',
    ]


def test_a_cpuset_of_v1_is_seeded_from_the_group_above(layout):
    root = layout("v1")
    for file, text in (("cpuset.cpus", "0-3\n"), ("cpuset.mems", "0\n")):
        (root / "sys/fs/cgroup/cpuset" / file).write_text(text)
    assert printed(root, Resources(cpuset_cpus={2}), controlled=False) == [
        'mkdir("/cpuset/new", 0755)',
        'write("/cpuset/new/cpuset.mems", "0")',
        'write("/cpuset/new/cpuset.cpus", "2")',
    ]


def test_an_old_kernels_memory_group_is_told_to_count_what_is_below(layout):
    root = layout("v1")
    (root / "sys/fs/cgroup/memory/memory.use_hierarchy").write_text("0\n")
    assert printed(root, Resources(memory_max=4096), controlled=False)[1] == (
        'write("/memory/new/memory.use_hierarchy", "1")'
    )


def test_one_subsystem_under_both_its_names(layout):
    limits = {"8:0": IOMax(rbps=5)}
    for subsystems in ({"io"}, {"blkio"}):
        assert printed(layout("v1"), Resources(), subsystems, controlled=False) == [
            'mkdir("/blkio/new", 0755)'
        ]
    assert printed(layout("v1"), Resources(io_max=limits))[1].endswith('"8:0 5")')
    assert printed(layout("v2"), Resources(), {"blkio"}) == ['mkdir("/new", 0755)']


def test_what_v2_does_in_every_group_can_be_asked_for(layout):
    for name in ("freezer", "perf_event", "cpuacct", "unified"):
        assert printed(layout("v2"), Resources(), {name}) == ['mkdir("/new", 0755)']


def test_what_is_nowhere_is_said(layout):
    with pytest.raises(UnsupportedError, match=r"rdma_max.*rdma"):
        printed(layout("hybrid"), Resources(rdma_max={}, pids_max=5))
    with pytest.raises(UnsupportedError, match=r"'no-such'; there are: .*memory"):
        printed(layout("v1"), Resources(), {"no-such"})


def test_devices_are_a_program_where_no_v1_hierarchy_has_them(layout, monkeypatch):
    wish = Resources(devices=["c 1:3 rwm"], pids_max=5)
    monkeypatch.setattr("nsbox._native.capabilities", lambda: -1)
    assert printed(layout("v2"), wish)[-1].startswith('bpf(BPF_PROG_ATTACH, "/new", BPF_CGROUP_D')
    assert [step for step in printed(layout("v1"), wish) if "allow" in step or "bpf" in step] == [
        'write("/devices/new/devices.allow", "c 1:3 rwm")'
    ]
    monkeypatch.setattr("nsbox._native.capabilities", lambda: 0)
    with pytest.raises(UnsupportedError, match=r"devices.*CAP_BPF and CAP_NET_ADMIN"):
        printed(layout("v2"), wish)
    printed(layout("v1"), wish)


def test_a_container_that_holds_processes_is_told_to_enter_a_leaf_or_move_them(layout):
    root = layout("container-v2")
    with pytest.raises(UnsupportedError, match=r"No Internal Process.*such as 1,"):
        printed(root, WISH)
    (root / "sys/fs/cgroup/cgroup.procs").write_text("")
    assert printed(root, WISH)[0] == 'write("/cgroup.subtree_control", "+cpu +memory +pids")'


def test_a_controller_that_was_not_handed_down_is_told_how_to_get(layout):
    root = layout("systemd-user")
    with pytest.raises(UnsupportedError, match="has not been given the controllers: cpuset"):
        printed(root, Resources(cpuset_cpus={0}))


def test_without_any_hierarchy_there_is_nothing_to_make():
    with pytest.raises(UnsupportedError, match="no hierarchy is mounted"):
        making.own_places(None, Resources(), {})


V1 = Hierarchy(1, "/m", frozenset({"memory"}))
V2 = Hierarchy(2, "/u", frozenset())


def test_a_box_joins_a_live_group_and_makes_nothing():
    groups = boxes.lower(Resources(), {V1: "/m/a", V2: "/u/a"})
    assert not groups.made
    assert groups.make == ()
    assert dict(groups.directories) == {V1: "/m/a", V2: "/u/a"}
    assert groups.into == "/u/a"
    assert [str(step) for step in groups.join_v1] == ['write("/m/a/tasks", "0")']


def test_a_box_with_limits_has_a_group_of_its_own_below_a_live_one():
    groups = boxes.lower(Resources(memory_max=4096), {V1: "/m/a", V2: "/u/a"})
    assert groups.made
    folders = dict(groups.directories)
    assert {hierarchy: Path(folder).parent for hierarchy, folder in folders.items()} == {
        V1: Path("/m/a"),
        V2: Path("/u/a"),
    }
    name = Path(folders[V1]).name
    assert name.startswith("nsbox-")
    assert name.endswith(boxes.NUMBER)
    assert [str(step) for step in groups.make] == [
        f'mkdir("/m/a/{name}", 0755)',
        f'write("/m/a/{name}/memory.limit_in_bytes", "4096")',
        f'mkdir("/u/a/{name}", 0755)',
    ]
    with pytest.raises(UnsupportedError, match="pids_max"):
        boxes.lower(Resources(pids_max=5), {V1: "/m/a", V2: "/u/a"})


def test_a_box_without_limits_has_no_group():
    assert boxes.lower(Resources()) == boxes.Groups()
