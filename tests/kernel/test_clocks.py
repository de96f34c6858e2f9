"""Clocks of a box that are set off: its commands see them so, its starter does not."""

import os
import subprocess
import sys
import time

import pytest

import nsbox
from nsbox import ISOLATED, BoxSpec, Choice, IDMap, Namespace, NamespaceType, Pool, TimeOffsets

NET, TIME, USER = NamespaceType.NET, NamespaceType.TIME, NamespaceType.USER
YEAR = 365 * 86400
AHEAD = TimeOffsets(monotonic=7200, boottime=YEAR)
LOOK = [
    "python3",
    "-c",
    "import time; print(*map(time.clock_gettime, (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)))",
]

pytestmark = pytest.mark.skipif(
    not nsbox.probe().namespaces["time"].ok, reason="needs time namespaces: CONFIG_TIME_NS"
)


def clocks():
    return [time.clock_gettime(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]


def check(run, offsets):
    """By so much the clocks in a box are off, as it sees them itself."""
    before = clocks()
    done = run(LOOK, capture_output=True, text=True, timeout=60)
    after = clocks()
    assert done.returncode == 0, done.stderr
    inside = map(float, done.stdout.split())
    offs = (offsets.monotonic, offsets.boottime)
    for early, seen, late, off in zip(before, inside, after, offs, strict=True):
        assert early <= seen - off <= late


def check_command(spec, offsets):
    check(lambda args, **parameters: nsbox.run(args, spec, **parameters), offsets)


@pytest.mark.parametrize(
    "offsets",
    [AHEAD, TimeOffsets(boottime=YEAR), TimeOffsets(monotonic=-20.5), TimeOffsets(boottime=-30)],
    ids=str,
)
def test_a_command_sees_its_clocks_off_and_the_caller_does_not(offsets):
    here = Namespace.current(TIME)
    check_command(BoxSpec(time_offsets=offsets), offsets)
    assert Namespace.current(TIME) == here


def test_what_joins_a_box_has_its_clocks():
    with BoxSpec(time_offsets=AHEAD).start() as box:
        check(box.run, AHEAD)
        check(box.run, AHEAD)
        assert box.namespaces[TIME] != Namespace.current(TIME)
        assert box.namespaces[TIME].user_namespace == box.namespaces[USER]


def test_a_box_that_was_made_ahead_has_its_clocks():
    with Pool(BoxSpec(time_offsets=AHEAD), size=1) as pool:
        assert pool.fill(60)
        check(pool.run, AHEAD)


RANGES = IDMap.ranges([(0, 100000, 1000)]) if os.geteuid() == 0 else IDMap.subordinate()
MAPS = {"same": IDMap.same(), "another": IDMap(7, gid=8), "ranges": RANGES}


@pytest.mark.parametrize("id_map", MAPS.values(), ids=MAPS)
def test_clocks_are_set_in_a_user_namespace_that_is_new(id_map):
    if id_map.has_ranges and os.geteuid() != 0 and not nsbox.probe().newuidmap.ok:
        pytest.skip("needs newuidmap and ranges for this user: subuid(5)")
    spec = BoxSpec(namespaces=ISOLATED | {USER: Choice.NEW}, id_map=id_map, time_offsets=AHEAD)
    with spec.start() as box:
        check(box.run, AHEAD)
        assert box.namespaces[TIME].user_namespace == box.namespaces[USER]


@pytest.mark.parametrize("kind", [NamespaceType.PID, NET, USER], ids=lambda kind: kind.proc_name)
def test_clocks_are_set_beside_namespaces_that_are_joined(kind):
    with Namespace.create(kind) as joined:
        spec = BoxSpec(namespaces=ISOLATED | {kind: joined}, time_offsets=AHEAD)
        with spec.start() as box:
            check(box.run, AHEAD)
            assert box.namespaces[kind] == joined
            assert box.namespaces[TIME].user_namespace == box.namespaces[USER]


def test_clocks_are_set_for_another_user_than_root_of_a_user_namespace_that_is_joined():
    id_map = IDMap(7, gid=8)
    with Namespace.create(USER, id_map=id_map) as joined:
        spec = BoxSpec(namespaces=ISOLATED | {USER: joined}, id_map=id_map, time_offsets=AHEAD)
        check_command(spec, AHEAD)


def test_the_first_process_keeps_no_descriptor_of_it():
    def descriptors(spec):
        with spec.start() as box:
            return len(os.listdir(f"/proc/{box.pid}/fd"))

    if os.geteuid() != 0:
        pytest.skip("needs root: a first process is not dumpable")
    assert descriptors(BoxSpec(time_offsets=AHEAD)) == descriptors(BoxSpec())


def test_a_clock_before_zero_is_refused_by_the_kernel_and_the_hint_says_why():
    with pytest.raises(nsbox.StepError, match="is at 0 or above") as caught:
        nsbox.run(["true"], BoxSpec(time_offsets=TimeOffsets(monotonic=-1e9)))
    assert caught.value.step.name == "write"


def test_without_the_right_to_set_clocks_the_hint_says_how_to_have_it():
    if os.geteuid() != 0:
        pytest.skip("needs root: others have a user namespace, and the right in it")
    script = (
        "import nsbox\n"
        "from nsbox import BoxSpec, TimeOffsets\n"
        "nsbox.run(['true'], BoxSpec(time_offsets=TimeOffsets(boottime=5)))\n"
    )
    without = ["setpriv", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time", sys.executable]
    told = subprocess.run([*without, "-c", script], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "takes CAP_SYS_TIME" in told.stderr
