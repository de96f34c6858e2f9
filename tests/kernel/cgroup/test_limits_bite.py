"""Limits bite, by measurement, and are told."""

import os
import time

import attrs
import pytest

import nsbox
from nsbox import Cgroup, NsboxError, Resources

pytestmark = pytest.mark.cgroups

MiB = 1 << 20
NAME = f"nsbox-{os.getpid()}-limits"


def test_memory(lab, start):
    wish = Resources(memory_max=24 * MiB)
    if nsbox.subsystems()["memory"].hierarchy.version == 2:
        wish = attrs.evolve(wish, memory_swap_max=0)
    # On v1, that of memory and swap would be met first, and newer kernels do not count that one.
    web = lab.child("web", wish)
    process = start("head -c 100M /dev/zero | tail -c 99M")
    web.attach(process.pid)
    process.stdin.close()
    assert process.wait(timeout=60) != 0
    stats = web.stats()
    assert (stats.memory.oom_kills or 0) >= 1
    assert (stats.memory.max_hits or 0) >= 1
    if stats.memory.peak is not None:
        assert 16 * MiB < stats.memory.peak <= 25 * MiB
    assert (lab.stats(tree=True).memory.oom_kills or 0) >= 1


def test_cpu_time_within_ten_percent(lab, start):
    share, seconds = 0.2, 4.0
    lab.set(Resources(cpu_weight=10_000))  # a busy machine has that much to spare as well
    web = lab.child("web", Resources(cpu_max=share))
    process = start("while :; do :; done")
    web.attach(process.pid)
    process.stdin.close()
    time.sleep(0.3)
    times = [time.monotonic()]
    before = web.stats().cpu
    times.append(time.monotonic())
    time.sleep(seconds)
    times.append(time.monotonic())
    after = web.stats().cpu
    times.append(time.monotonic())
    used = after.usage_seconds - before.usage_seconds
    least, most = times[2] - times[1], times[3] - times[0]  # reading takes time as well
    period = 0.1 * share  # what is under way at either end
    assert 0.9 * share * least - period <= used <= 1.1 * share * most + period
    assert (after.nr_throttled or 0) > (before.nr_throttled or 0)


def test_tasks(lab, start):
    web = lab.child("web", Resources(pids_max=5))
    process = start("for i in 1 2 3 4 5 6 7 8; do sleep 20 & done; wait")
    web.attach(process.pid)
    process.stdin.close()
    deadline = time.monotonic() + 10
    while not web.stats().pids.max_hits and time.monotonic() < deadline:
        time.sleep(0.02)
    stats = web.stats().pids
    assert (stats.max_hits or 0) >= 1
    assert stats.current <= 5


def test_cpus(start):
    try:
        group = Cgroup.create(NAME, Resources(cpuset_cpus={0}))
    except NsboxError as error:
        pytest.skip(f"needs the cpuset subsystem: {error}")
    with group:
        child = group.child("below")  # which v1 needs to be given CPUs and memory nodes
        process = start("sleep 60")
        child.attach(process.pid)
        assert os.sched_getaffinity(process.pid) == {0}
        assert group.resources.cpuset_cpus == {0}


def test_devices_are_refused(start):
    try:
        group = Cgroup.create(NAME, Resources(devices=["c 1:3 rwm"]))
    except NsboxError as error:
        pytest.skip(f"needs devices on v1, or eBPF programs: {error}")
    with group:
        process = start("echo x > /dev/null && ! cat /dev/zero | head -c 1 | grep -q .")
        group.attach(process.pid)
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        read = group.resources.devices  # a program, on v2, is no list of rules any more
        on_v1 = any("devices" in hierarchy.subsystems for hierarchy in group.directories)
        assert [str(rule) for rule in read or ()] == (["c 1:3 rwm"] if on_v1 else [])


def test_limits_go_up_and_down_with_tasks_inside(lab, start):
    web = lab.child("web", Resources(memory_max="64M", memory_swap_max=0, cpu_max=0.5))
    web.attach(start("sleep 60").pid)
    for size in ("32M", "256M", "16M"):
        web.set(Resources(memory_max=size, memory_swap_max="1M"))
        assert web.resources.memory_max == Resources(memory_max=size).memory_max
        assert web.resources.memory_swap_max == MiB
    for cpus in (2.0, (5000, 10_000), 0.05, "max"):
        web.set(Resources(cpu_max=cpus))
        assert web.resources.cpu_max == Resources(cpu_max=cpus).cpu_max
