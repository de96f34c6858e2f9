"""Limits as values: what is taken, what is refused, and that they are values."""

import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import DeviceRule, IOMax, RDMAMax, Resources
from nsbox.cgroup.resources import FIELDS

GOOD: dict[str, list[tuple[Any, Any]]] = {
    "cpu_weight": [(1, 1), (10000, 10000)],
    "cpu_max": [
        (0.5, 0.5),
        (2, 2.0),
        ("max", "max"),
        ((50_000, 100_000), 0.5),
        ((5_000, 10_000), (5_000, 10_000)),
        (1 / 3, 0.33333),
    ],
    "cpu_max_burst": [(0, 0), (20_000, 20_000)],
    "cpu_idle": [(True, True), (False, False)],
    "cpu_uclamp_min": [(12.345, 12.35), ("max", "max"), (0, 0.0)],
    "cpu_uclamp_max": [(100, 100.0)],
    "cpuset_cpus": [
        ({0, 1}, frozenset({0, 1})),
        ("0-2,5", frozenset({0, 1, 2, 5})),
        ([3], frozenset({3})),
    ],
    "cpuset_mems": [("0", frozenset({0}))],
    "cpuset_cpus_partition": [("root", "root"), ("isolated", "isolated"), ("member", "member")],
    "memory_min": [(0, 0), ("1G", 1 << 30)],
    "memory_low": [("max", "max")],
    "memory_high": [("48M", 48 << 20)],
    "memory_max": [("64M", 64 << 20), (4096, 4096), ("max", "max"), ("1 GiB", 1 << 30), (0, 0)],
    "memory_swap_max": [(0, 0), ("0", 0)],
    "memory_oom_group": [(True, True)],
    "io_weight": [(100, 100)],
    "io_max": [
        ({"8:0": IOMax(rbps="1M")}, {"8:0": IOMax(rbps=1 << 20)}),
        ({(8, 16): IOMax(wiops=5)}, {"8:16": IOMax(wiops=5)}),
        ({"/dev/vda": IOMax(rbps="max")}, {"/dev/vda": IOMax(rbps="max")}),
    ],
    "io_latency": [({"8:0": 75_000}, {"8:0": 75_000})],
    "pids_max": [(0, 0), (1, 1), (1 << 22, 1 << 22), ("max", "max")],
    "hugetlb_max": [({"2MB": "64M"}, {"2MB": 64 << 20})],
    "devices": [
        ((), ()),
        (["c 1:3 rwm"], (DeviceRule("c", 1, 3),)),
        ([DeviceRule("a")], (DeviceRule("a"),)),
        (
            ["c 136:* rw", "b *:* m"],
            (DeviceRule("c", 136, None, "rw"), DeviceRule("b", access="m")),
        ),
    ],
    "rdma_max": [({"mlx4_0": RDMAMax(hca_handle=2)}, {"mlx4_0": RDMAMax(hca_handle=2)})],
    "misc_max": [({"sev": 3, "sev_es": "max"}, {"sev": 3, "sev_es": "max"})],
    "net_cls_classid": [(0x100001, 0x100001)],
    "net_prio_ifpriomap": [({"eth0": 5}, {"eth0": 5})],
}

BAD: dict[str, list[Any]] = {
    "cpu_weight": [0, 10001, 1.5, "100", True],
    "cpu_max": [
        0,
        -1,
        0.001,
        "half",
        True,
        (1, 2, 3),
        (500, 100_000),
        (5_000, 10),
        ("5", 5),
        float("nan"),
    ],
    "cpu_max_burst": [-1, 0.5],
    "cpu_idle": [1, "yes"],
    "cpu_uclamp_min": [-0.1, 101, "min"],
    "cpu_uclamp_max": [True],
    "cpuset_cpus": ["", "3-1", "a", {-1}, {0.5}, set(), "0,", 3, "0-99999999", [None]],
    "cpuset_mems": ["x"],
    "cpuset_cpus_partition": ["none", True],
    "memory_min": [-1, "64 apples", 1.5],
    "memory_low": [b"1M"],
    "memory_high": [True],
    "memory_max": ["a lot", -5, 1 << 63, "", "64MM"],
    "memory_swap_max": [-1],
    "memory_oom_group": [0],
    "io_weight": [0, "default"],
    "io_max": [
        {"8:0": 5},
        {"sda": IOMax()},
        {"8": IOMax()},
        {"8:0": None},
        [("8:0", IOMax())],
        {"/dev/\0": IOMax()},
    ],
    "io_latency": [{"8:0": -1}, {"8:0": None}],
    "pids_max": [-1, (1 << 22) + 1, 2.0, "many"],
    "hugetlb_max": [{"2 MB": 5}, {5: 5}, {"2MB": "x"}, {"../2MB": 1}],
    "devices": ["c 1:3 rwm", ["c 1:3 x"], ["d 1:3 r"], [5], ["c 1"], 7],
    "rdma_max": [{"mlx4_0": 5}, {"a=b": RDMAMax()}],
    "misc_max": [{"sev": -1}],
    "net_cls_classid": [-1, 1 << 32],
    "net_prio_ifpriomap": [{"eth0": -1}, {"eth 0": 1}],
}


def test_the_tables_have_every_field():
    assert set(GOOD) == set(BAD) == set(FIELDS)


@pytest.mark.parametrize(
    ("field", "given", "kept"), [(f, g, k) for f, pairs in GOOD.items() for g, k in pairs]
)
def test_an_amount_is_made_canonical(field, given, kept):
    resources = Resources(**{field: given})
    assert getattr(resources, field) == kept
    assert Resources(**resources.given) == resources
    assert resources.given == {field: getattr(resources, field)}
    assert field in repr(resources)


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in BAD.items() for v in values])
def test_nonsense_is_refused_by_the_name_of_the_field(field, value):
    with pytest.raises(ValueError, match=field):
        Resources(**{field: value})


def test_the_parts_refuse_nonsense_too():
    for make, name in [
        (lambda: IOMax(rbps=0), "rbps"),
        (lambda: IOMax(wiops="5"), "wiops"),
        (lambda: RDMAMax(hca_object=-1), "hca_object"),
        (lambda: DeviceRule("c", -1), "major"),
        (lambda: DeviceRule("c", 1, 1 << 20), "minor"),
        (lambda: DeviceRule("x"), "type"),  # type: ignore[arg-type]
        (lambda: DeviceRule("b", access=""), "access"),
    ]:
        with pytest.raises(ValueError, match=name):
            make()


def test_resources_are_values():
    full = Resources(**{field: pairs[0][0] for field, pairs in GOOD.items()})
    assert pickle.loads(pickle.dumps(full)) == full
    assert len({full, attrs.evolve(full), attrs.evolve(full, pids_max=7)}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        full.pids_max = 5  # type: ignore[misc]


def test_the_letters_of_a_rule_have_one_order():
    assert DeviceRule("c", 1, 3, "mr") == DeviceRule.parse("c 1:3 rm")
    assert str(DeviceRule("b", 8, None, "wr")) == "b 8:* rw"


def test_devices_by_path_are_looked_up_when_they_are_needed(tmp_path):
    by_number = Resources(io_max={"8:0": IOMax(rbps=5)}, io_latency={"8:0": 5})
    assert by_number.resolved() is by_number
    file = tmp_path / "no-device"
    file.write_text("")
    with pytest.raises(ValueError, match="no block device"):
        Resources(io_max={str(file): IOMax(rbps=5)}).resolved()
    with pytest.raises(FileNotFoundError):
        Resources(io_latency={"/no/such/device": 5}).resolved()


@pytest.mark.skipif(not any(Path("/dev").glob("[sv]da")), reason="needs a block device in /dev")
def test_a_block_device_is_known_by_its_number():
    device = next(Path("/dev").glob("[sv]da"))
    number = Path(f"/sys/class/block/{device.name}/dev").read_text().strip()
    found = Resources(io_max={str(device): IOMax(rbps=5)}).resolved().io_max
    assert found == {number: IOMax(rbps=5)}


@given(st.integers(1, (1 << 43) - 1), st.sampled_from("KMG"))
def test_units_are_binary(number, unit):
    size = number << {"K": 10, "M": 20, "G": 30}[unit]
    if size < 1 << 63:
        assert Resources(memory_max=f"{number}{unit}").memory_max == size
