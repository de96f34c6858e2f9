"""A meter tells of many groups at once what reading each file anew does."""

import os
import pickle
import threading
import time

import pytest

from nsbox import Meter, Resources
from nsbox.cgroup import meter as meters
from nsbox.cgroup import reading

pytestmark = pytest.mark.cgroups


def numbers(group):
    """Every number of the group's flat keyed files and of those that are one, read plainly."""
    found = {}
    folders = reading.Folders.of(group.folders, group.subsystems)
    counted = reading.counted(folders, reading.PARTS)
    for one, path in zip(counted, reading.paths(folders, counted), strict=True):
        try:
            with open(path) as file:
                text = file.read()
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            *key, value = line.split()
            if value.isdigit():
                found[one.version, one.file, *key] = int(value)
    return found


def settles(check):
    """Whether something is so at last: the kernel goes on counting for a while after an event."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if check():  # once is enough: a moment later it may count again
            return True
        time.sleep(0.05)
    return False


def test_it_tells_what_fresh_reading_does(lab, start):
    groups = [lab.child(f"g{number}") for number in range(5)]
    groups[0].attach(start("sleep 60").pid)
    with Meter(groups) as meter:
        for _ in range(3):
            assert [one.pids.current for one in meter.read()] == [1, 0, 0, 0, 0]
            assert settles(lambda: meter.read() == [group.stats() for group in groups])
        groups[4].remove()
        assert "pids" not in meter.read()[4].parts
        assert settles(lambda: meter.read()[:4] == [group.stats() for group in groups[:4]])


def test_it_tells_the_same_numbers_as_plain_reading_after_work_was_done(lab, start):
    web = lab.child("web", Resources(memory_max="64M", pids_max=2))
    process = start("head -c 8M /dev/zero | tail -c 7M; true & true & wait")
    web.attach(process.pid)
    with Meter([web]) as meter:
        meter.read()
        process.stdin.close()
        process.wait(timeout=60)
        doubtful = set(plainly(web))

        def agree():  # each figure at some moment: the kernel may go on with one or the other
            ours, theirs = told(meter.read()[0]), plainly(web)
            doubtful.difference_update([name for name in theirs if ours[name] == theirs[name]])
            return not doubtful

        assert settles(agree), doubtful
    assert told(web.stats())["cpu"] > 0


def told(stats):
    """Some of the figures that busy groups have."""
    memory = stats.memory
    return {
        "cpu": stats.cpu.usage_usec,
        "peak": memory.peak,
        "forks": stats.pids.max_hits,
        **memory.stat,
    }


def plainly(group):
    """The same from the plain numbers."""
    plain = numbers(group)
    stat = {key[2]: n for key, n in plain.items() if key[1] == "memory.stat"}
    totals = {key.removeprefix("total_"): n for key, n in stat.items() if key.startswith("total_")}
    usage = plain.get((1, "cpuacct.usage"))
    peaks = (plain.get(key) for key in ((1, "memory.max_usage_in_bytes"), (2, "memory.peak")))
    refused = (plain.get((version, "pids.events", "max")) for version in (1, 2))
    return {
        "cpu": plain[2, "cpu.stat", "usage_usec"] if usage is None else usage // 1000,
        "peak": next((peak for peak in peaks if peak is not None), None),
        "forks": next((count for count in refused if count is not None), None),
        **(totals or stat),
    }


def test_only_the_parts_that_are_wanted_are_read(lab):
    with Meter([lab, lab], {"pids"}) as meter:
        for _ in range(2):
            first, second = meter.read()
            assert set(first.parts) == {"pids"}
            assert first == second
            assert first.pids == lab.stats().pids
    with pytest.raises(ValueError, match=r"parts: of cpu, memory.*not 'freezer'"):
        Meter([lab], {"freezer"})


def test_its_figures_are_values_before_and_after_they_are_looked_at(lab):
    with Meter([lab]) as meter:
        meter.read()
        (before,) = meter.read()
        copy = pickle.loads(pickle.dumps(meter.read()[0]))
        assert before.memory is before.memory  # decoded once
        assert copy == pickle.loads(pickle.dumps(copy))
        assert settles(lambda: meter.read()[0] == lab.stats())
        assert settles(lambda: hash(meter.read()[0]) == hash(lab.stats()))
    assert list(before.parts) == list(copy.parts) == list(lab.stats().parts)
    assert "nothing" not in before.parts


def test_those_of_many_groups_are_read_by_several_threads_in_their_order(lab, start, monkeypatch):
    monkeypatch.setattr(meters, "_SHARE", 20)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    groups = [lab.child(f"g{number}") for number in range(7)]
    groups[4].attach(start("sleep 60").pid)
    with Meter(groups) as meter:
        assert len(meter._batches) == 2
        for _ in range(3):
            assert [one.pids.current for one in meter.read()] == [0, 0, 0, 0, 1, 0, 0]
        assert settles(lambda: meter.read() == [group.stats() for group in groups])
    with Meter([]) as none:
        assert none.read() == []


def test_beyond_half_of_the_free_descriptors_files_are_opened_each_time(lab, monkeypatch):
    groups = [lab.child(f"g{number}") for number in range(4)]
    before = set(os.listdir("/proc/self/fd"))
    most = len(before) + 20
    monkeypatch.setattr("resource.getrlimit", lambda _: (most, most))
    with Meter(groups) as meter:
        for _ in range(3):
            assert settles(lambda: meter.read() == [group.stats() for group in groups])
        assert 0 < len(set(os.listdir("/proc/self/fd")) - before) <= 10
    assert set(os.listdir("/proc/self/fd")) == before
    meter.close()
    with pytest.raises(ValueError, match="closed"):
        meter.read()


def test_threads_may_read_at_once(lab):
    with Meter([lab.child(f"g{number}") for number in range(20)]) as meter:
        wrong = []

        def read():
            for _ in range(20):
                wrong.extend(one for one in meter.read() if one.pids.current != 0)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_forgotten_meter_is_told_of(lab):
    meter = Meter([lab])
    with pytest.raises(TypeError, match="live handle"):
        pickle.dumps(meter)
    with pytest.warns(ResourceWarning, match="Meter of 1 groups"):
        del meter


def test_of_many_descriptors_some_are_left_to_the_caller(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (100_000, 100_000))
    monkeypatch.setattr("os.listdir", lambda _: ["0"] * 30_000)
    assert meters._spare() == 70_000 - 1024


def test_where_no_thread_can_be_started_all_is_read_all_the_same(lab, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(meters, "_SHARE", 20)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Meter([lab.child(f"g{number}") for number in range(7)]) as meter:
        assert [one.pids.current for one in meter.read()] == [0] * 7


def test_nothing_is_opened_once_it_is_closed(lab):
    with Meter([lab]) as meter:
        meter.read()
        (batch,) = meter._batches
    with pytest.raises(ValueError, match="closed"):
        batch.read()  # as a thread does that had just begun
