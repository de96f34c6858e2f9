"""Limits lowered to files, v1 and v2 side by side, and read back."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import DeviceRule, IOMax, RDMAMax, Resources, UnsupportedError
from nsbox.cgroup import controllers, formats
from nsbox.cgroup.controllers import CONTROLLERS, Write
from nsbox.cgroup.device_program import program
from nsbox.cgroup.resources import FIELDS

MiB = 1 << 20

LOWERED: list[tuple[dict[str, Any], Any, Any]] = [
    # The fields, what v1 writes, what v2 writes; text: refused, with a word of the reason.
    ({"cpu_weight": 100}, [("cpu.shares", "1024")], [("cpu.weight", "100")]),
    ({"cpu_weight": 1}, [("cpu.shares", "10")], [("cpu.weight", "1")]),
    (
        {"cpu_max": 0.5},
        [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        [("cpu.max", "50000 100000")],
    ),
    (
        {"cpu_max": "max"},
        [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")],
        [("cpu.max", "max 100000")],
    ),
    (
        {"cpu_max": (5000, 10000), "cpu_max_burst": 700},
        [
            ("cpu.cfs_period_us", "10000"),
            ("cpu.cfs_quota_us", "5000"),
            ("cpu.cfs_burst_us", "700"),
        ],
        [("cpu.max", "5000 10000"), ("cpu.max.burst", "700")],
    ),
    ({"cpu_idle": True}, [("cpu.idle", "1")], [("cpu.idle", "1")]),
    (
        {"cpu_uclamp_min": 12.5, "cpu_uclamp_max": "max"},
        [("cpu.uclamp.min", "12.50"), ("cpu.uclamp.max", "max")],
        [("cpu.uclamp.min", "12.50"), ("cpu.uclamp.max", "max")],
    ),
    (
        {"cpuset_cpus": "0-2,7", "cpuset_mems": {0}},
        [("cpuset.cpus", "0-2,7"), ("cpuset.mems", "0")],
        [("cpuset.cpus", "0-2,7"), ("cpuset.mems", "0")],
    ),
    (
        {"cpuset_cpus_partition": "root", "cpuset_cpus": {1}},
        "cpuset_cpus_partition",
        [("cpuset.cpus", "1"), ("cpuset.cpus.partition", "root")],
    ),
    ({"memory_min": "1M"}, "memory_min", [("memory.min", "1048576")]),
    ({"memory_low": 0}, "memory_low", [("memory.low", "0")]),
    ({"memory_high": "max"}, "memory_high", [("memory.high", "max")]),
    ({"memory_oom_group": True}, "memory_oom_group", [("memory.oom.group", "1")]),
    (
        {"memory_max": "64M"},
        [("memory.limit_in_bytes", str(64 * MiB))],
        [("memory.max", str(64 * MiB))],
    ),
    (
        {"memory_max": "64M", "memory_swap_max": "1M"},
        [
            ("memory.limit_in_bytes", str(64 * MiB)),
            ("memory.memsw.limit_in_bytes", str(65 * MiB)),
        ],
        [("memory.swap.max", str(MiB)), ("memory.max", str(64 * MiB))],
    ),
    ({"memory_swap_max": 0}, "memory_swap_max", [("memory.swap.max", "0")]),
    ({"memory_max": "max"}, [("memory.limit_in_bytes", "-1")], [("memory.max", "max")]),
    ({"io_weight": 500}, [("blkio.bfq.weight", "500")], [("io.weight", "default 500")]),
    ({"io_weight": 5000}, "io_weight", [("io.weight", "default 5000")]),
    (
        {"io_max": {"8:0": IOMax(rbps="1M", wiops=7), "8:16": IOMax(wbps="max")}},
        [
            ("blkio.throttle.read_bps_device", "8:0 1048576"),
            ("blkio.throttle.write_iops_device", "8:0 7"),
            ("blkio.throttle.write_bps_device", "8:16 0"),
        ],
        [("io.max", "8:0 rbps=1048576 wiops=7"), ("io.max", "8:16 wbps=max")],
    ),
    ({"io_max": {"8:0": IOMax()}}, [], []),
    ({"io_latency": {"8:0": 75000}}, "io_latency", [("io.latency", "8:0 target=75000")]),
    ({"pids_max": 5}, [("pids.max", "5")], [("pids.max", "5")]),
    ({"pids_max": "max"}, [("pids.max", "max")], [("pids.max", "max")]),
    (
        {"hugetlb_max": {"2MB": "4M", "1GB": "max"}},
        [("hugetlb.2MB.limit_in_bytes", "4194304"), ("hugetlb.1GB.limit_in_bytes", "-1")],
        [("hugetlb.2MB.max", "4194304"), ("hugetlb.1GB.max", "max")],
    ),
    ({"devices": ()}, [("devices.deny", "a")], [program([])]),
    (
        {"devices": ["c 1:3 rw", "a", DeviceRule("a", 8, access="r")]},
        [
            ("devices.deny", "a"),
            ("devices.allow", "c 1:3 rw"),
            ("devices.allow", "a"),
            ("devices.allow", "b 8:* r"),
            ("devices.allow", "c 8:* r"),
        ],
        [program([DeviceRule("c", 1, 3, "rw"), DeviceRule("a")])],
    ),
    (
        {"rdma_max": {"mlx4_0": RDMAMax(hca_handle=2, hca_object="max")}},
        [("rdma.max", "mlx4_0 hca_handle=2 hca_object=max")],
        [("rdma.max", "mlx4_0 hca_handle=2 hca_object=max")],
    ),
    ({"misc_max": {"sev": 3}}, [("misc.max", "sev 3")], [("misc.max", "sev 3")]),
    ({"net_cls_classid": 0x10001}, [("net_cls.classid", "65537")], "net_cls_classid"),
    ({"net_prio_ifpriomap": {"lo": 3}}, [("net_prio.ifpriomap", "lo 3")], "net_prio_ifpriomap"),
]


def lower(version: int, wish: Resources, present: Resources = Resources()) -> list[Write]:
    return [
        write
        for controller in controllers.needed(wish)
        for write in controllers.lower(controller, version, wish, present)
    ]


@pytest.mark.parametrize(("fields", "v1", "v2"), LOWERED)
def test_fields_are_lowered_to_the_files_of_each_version(fields, v1, v2):
    wish = Resources(**fields)
    for version, expected in ((1, v1), (2, v2)):
        if isinstance(expected, str):
            with pytest.raises(UnsupportedError, match=expected):
                lower(version, wish)
        else:
            writes = lower(version, wish)
            assert [
                write[:2] if isinstance(write, Write) else write[0] for write in writes
            ] == expected
            assert {write.field for write in writes} <= set(fields)


def test_every_field_is_of_one_controller_and_in_the_table():
    owned = [field for controller in CONTROLLERS for field in controller.FIELDS]
    assert sorted(owned) == sorted(FIELDS)
    assert {field for fields, _, _ in LOWERED for field in fields} == set(FIELDS)


def test_nothing_wished_is_nothing_written():
    assert controllers.needed(Resources()) == ()
    assert lower(1, Resources()) == lower(2, Resources()) == []


class FakeGroup:
    """The files of a group, kept as the kernel would: what is written can be read."""

    def __init__(self, version: int) -> None:
        self.files: dict[str, str] = {}
        if version == 1:
            self.files = {"memory.limit_in_bytes": f"{formats.UNLIMITED}\n"}
            self.files["memory.memsw.limit_in_bytes"] = f"{formats.UNLIMITED}\n"

    def write(self, write: Write) -> None:
        file, value = write.file, write.value
        if file.startswith("memory.") and file.endswith("limit_in_bytes"):
            value = str(formats.UNLIMITED) if value == "-1" else value
        if file in ("io.max", "io.latency", "rdma.max", "misc.max") or "_device" in file:
            before = self.files.get(file, "")
            kept = [
                line for line in before.split("\n") if line.split(" ")[0] != value.split(" ")[0]
            ]
            value = "\n".join(filter(None, [*kept, self.whole(file, value)]))
        self.files[file] = f"{value}\n" if value else ""
        limit, both = (
            int(self.files.get(f"memory.{part}limit_in_bytes", formats.UNLIMITED))
            for part in ("", "memsw.")
        )
        assert limit <= both, "the kernel refuses memory above memory and swap"

    def whole(self, file: str, value: str) -> str:
        device, *pairs = value.split(" ")
        if file == "io.max":
            given = dict(pair.split("=") for pair in pairs)
            return device + "".join(
                f" {key}={given.get(key, 'max')}" for key in ("rbps", "wbps", "riops", "wiops")
            )
        return "" if "_device" in file and pairs == ["0"] else value

    def read(self, file: str) -> str | None:
        return self.files.get(file)


SIZES = st.integers(4096, 1 << 50) | st.just("max")
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "cpu_weight": st.integers(1, 10000),
        "cpu_max": st.floats(0.01, 128)
        | st.just("max")
        | st.tuples(st.integers(1000, 1 << 20), st.integers(1000, 1_000_000)),
        "cpu_idle": st.booleans(),
        "cpu_uclamp_min": st.floats(0, 100) | st.just("max"),
        "cpuset_cpus": st.frozensets(st.integers(0, 300), min_size=1),
        "memory_max": SIZES,
        "pids_max": st.integers(1, 4_000_000) | st.just("max"),
        "io_max": st.dictionaries(
            st.tuples(st.integers(0, 300), st.integers(0, 300)),
            st.builds(IOMax, rbps=SIZES, wbps=SIZES, riops=st.integers(1, 9), wiops=st.just("max")),
            min_size=1,
        ),
        "misc_max": st.dictionaries(
            st.sampled_from(["sev", "sev_es"]), st.integers(0, 99), min_size=1
        ),
    },
)
V2_ONLY = st.fixed_dictionaries(
    {},
    optional={
        "memory_min": SIZES,
        "memory_high": SIZES,
        "memory_swap_max": st.integers(0, 1 << 50) | st.just("max"),
        "memory_oom_group": st.booleans(),
        "io_weight": st.integers(1, 10000),
        "io_latency": st.dictionaries(st.just("8:0"), st.integers(0, 1 << 40), min_size=1),
        "cpuset_cpus_partition": st.sampled_from(["member", "root", "isolated"]),
    },
)


def read_back(version: int, read: Callable[[str], str | None]) -> Resources:
    found: dict[str, Any] = {}
    for controller in CONTROLLERS:
        values = controllers.read_back(controller, version, read)
        found |= {field: value for field, value in values.items() if value is not None}
    return Resources(**found)


def matches(read: Resources, wish: Resources, version: int) -> None:
    wished = wish.given
    if wish.cpu_idle:
        wished.pop("cpu_weight", None)
    if wish.io_max is not None and version == 1:  # v1 does not list what has no limit
        limited = {d: one for d, one in wish.io_max.items() if set(amounts_of(one)) != {"max"}}
        wished["io_max"] = limited
    assert {field: getattr(read, field) for field in wished} == wished


def amounts_of(one: IOMax) -> list[Any]:
    return [one.rbps, one.wbps, one.riops, one.wiops]


@given(LIMITS)
def test_what_is_written_on_v1_is_read_back(fields):
    group, wish = FakeGroup(1), Resources(**fields)
    for write in lower(1, wish):
        group.write(write)
    matches(read_back(1, group.read), wish, 1)


@given(LIMITS, V2_ONLY)
def test_what_is_written_on_v2_is_read_back(fields, more):
    group, wish = FakeGroup(2), Resources(**fields, **more)
    for write in lower(2, wish):
        group.write(write)
    matches(read_back(2, group.read), wish, 2)


MEMORY_AND_SWAP = st.tuples(st.integers(4096, 1 << 40), st.integers(0, 1 << 40))


@given(st.lists(MEMORY_AND_SWAP, min_size=1, max_size=5))
def test_memory_and_swap_change_on_v1_in_an_order_that_the_kernel_takes(amounts):
    group = FakeGroup(1)
    for memory, swap in amounts:
        wish = Resources(memory_max=memory, memory_swap_max=swap)
        for write in lower(1, wish, read_back(1, group.read)):
            group.write(write)  # asserts the kernel's rule
        matches(read_back(1, group.read), wish, 1)


@given(MEMORY_AND_SWAP, st.integers(4096, 1 << 40))
def test_a_limit_of_swap_stays_when_that_of_memory_changes_on_v1(amounts, memory):
    group = FakeGroup(1)
    for wish in (
        Resources(memory_max=amounts[0], memory_swap_max=amounts[1]),
        Resources(memory_max=memory),
    ):
        for write in lower(1, wish, read_back(1, group.read)):
            group.write(write)
    matches(read_back(1, group.read), Resources(memory_max=memory, memory_swap_max=amounts[1]), 1)


def test_on_v1_it_is_said_which_of_memory_and_swap_is_lacking():
    present = Resources(memory_max=64 * MiB, memory_swap_max=0)
    with pytest.raises(UnsupportedError, match="give memory_swap_max='max' too"):
        lower(1, Resources(memory_max="max"), present)
    with pytest.raises(UnsupportedError, match="give a memory_max too"):
        lower(1, Resources(memory_swap_max=0))


def test_a_burst_that_is_lowered_goes_before_the_quota():
    present = Resources(cpu_max=1, cpu_max_burst=90_000)
    wish = Resources(cpu_max=0.5, cpu_max_burst=10_000)
    assert [w.file for w in lower(2, wish, present)] == ["cpu.max.burst", "cpu.max"]
    assert [w.file for w in lower(2, wish, Resources())] == ["cpu.max", "cpu.max.burst"]


def test_another_period_is_not_written_under_the_old_quota_on_v1():
    wish = Resources(cpu_max=(5000, 10_000))
    assert [w.value for w in lower(1, wish, Resources(cpu_max=1))] == ["-1", "10000", "5000"]


def test_an_idle_group_has_no_weight():
    assert controllers.cpu.read_v2({"cpu.weight": "0\n"}.get)["cpu_weight"] is None
    idle = {"cpu.shares": "3\n", "cpu.idle": "1\n"}
    assert controllers.cpu.read_v1(idle.get)["cpu_weight"] is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_is_idle_no_longer_before_it_takes_a_weight(version):
    *_, last = lower(version, Resources(cpu_idle=True, cpu_weight=50))
    assert last.field == "cpu_idle"
    first, *_ = lower(version, Resources(cpu_idle=False, cpu_weight=50))
    assert first.field == "cpu_idle"


@pytest.mark.parametrize("shares", [2, 262144])
def test_shares_beyond_what_a_weight_can_be_are_read_as_the_nearest(shares):
    weight = controllers.cpu.read_v1({"cpu.shares": f"{shares}\n"}.get)["cpu_weight"]
    assert Resources(cpu_weight=weight)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("root\n", "root"),
        ("isolated\n", "isolated"),
        ("member\n", "member"),
        ("root invalid (Parent is not a partition root)\n", "member"),
        ("isolated invalid\n", "member"),
    ],
)
def test_a_partition_that_is_invalid_is_read_as_none(text, kind):
    found = controllers.cpuset.read_v2({"cpuset.cpus.partition": text}.get)
    assert found["cpuset_cpus_partition"] == kind


def test_a_file_that_is_no_such_file_is_named():
    with pytest.raises(ValueError, match=r"cpu\.weight.*a number"):
        controllers.cpu.read_v2({"cpu.weight": "heavy\n"}.get)
    with pytest.raises(ValueError, match=r"memory\.stat.*line 2"):
        controllers.memory.stats_v2({"memory.current": "1\n", "memory.stat": "anon 1\nfile\n"}.get)
