"""What happens in a group is told as it happens: to threads, to asyncio, to any loop."""

import asyncio
import os
import select
import threading
import time

import pytest

from nsbox import Cgroup, Resources, UnsupportedError
from nsbox.cgroup.events import Events

pytestmark = pytest.mark.cgroups

MiB = 1 << 20
SECONDS = 60.0


def until(events, *wanted):
    """Take events until one is as wanted; None where that takes too long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        event = events.wait(deadline - time.monotonic())
        if event is not None and (event.subsystem, event.name) in wanted:
            return event
    return None


def test_the_last_task_gone(lab, start):
    web = lab.child("web")
    with web.events() as events:
        assert events.wait(0) is None
        process = start("sleep 60")
        web.attach(process.pid)
        came = until(events, ("cgroup", "populated"))
        assert came is not None
        assert (came.before, came.value) == (0, 1)
        web.kill()
        gone = until(events, ("cgroup", "populated"))
        assert gone is not None
        assert (gone.before, gone.value) == (1, 0)


def test_the_last_task_gone_is_told_at_once_by_v1_alone(lab, start, monkeypatch):
    web = lab.child("web")
    folders = {h: folder for h, folder in web.folders.items() if "pids" in h.subsystems}
    if any(hierarchy.version == 2 for hierarchy in folders):
        pytest.skip("needs the pids subsystem on v1")
    first, second = start("true"), start("true")
    for process in (first, second):
        web.attach(process.pid)
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("nsbox.cgroup.events._LOOK_AGAIN", 1000.0)
    monkeypatch.setattr("nsbox.cgroup.events._STILL_THERE", 1000.0)
    with Events(folders) as events:
        assert events.wait(0) is None
        first.kill()
        first.wait()
        assert events.wait(0.5) is None
        second.stdin.close()
        second.wait()
        gone = until(events, ("cgroup", "populated"))
        assert gone is not None
        assert (gone.before, gone.value) == (1, 0)
        assert events.wait(0.2) is None
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_task_that_is_moved_away_is_looked_for(lab, start):
    web, other = lab.child("web"), lab.child("other")
    folders = {h: folder for h, folder in web.folders.items() if h.version == 1}
    if not folders:
        pytest.skip("needs v1")
    process = start("true")
    web.attach(process.pid)
    with Events(folders) as events:
        other.attach(process.pid)
        gone = until(events, ("cgroup", "populated"))
        assert gone is not None
        assert (gone.before, gone.value) == (1, 0)
        web.attach(process.pid)
        assert until(events, ("cgroup", "populated")) is not None


def test_out_of_memory(lab, start):
    web = lab.child("web", Resources(memory_max=16 * MiB, memory_swap_max=0))
    with web.events() as events:
        process = start("head -c 100M /dev/zero | tail -c 99M")
        web.attach(process.pid)
        process.stdin.close()
        assert until(events, ("memory", "oom")) is not None
    with web.events() as events:
        process = start("head -c 100M /dev/zero | tail -c 99M")
        web.attach(process.pid)
        process.stdin.close()
        killed = until(events, ("memory", "oom_kill"))
        assert killed is not None
        assert killed.value > killed.before


def test_the_end_of_a_group_is_no_oom(lab):
    web = lab.child("web", Resources(memory_max=16 * MiB))
    with web.events() as events:
        web.close()
        time.sleep(0.3)  # the kernel tells a moment later
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline and (event := events.wait(deadline - time.monotonic())):
            assert event.subsystem != "memory", event


def test_a_fork_refused(lab, start):
    web = lab.child("web", Resources(pids_max=3))
    with web.events() as events:
        process = start("for i in 1 2 3 4 5 6; do sleep 20 & done; wait")
        web.attach(process.pid)
        process.stdin.close()
        refused = until(events, ("pids", "max"))
        assert refused is not None
        assert refused.value >= 1


def test_iteration_ends_with_the_group(lab, start):
    def until_seen(value):
        deadline = time.monotonic() + SECONDS
        while not any((e.name, e.value) == ("populated", value) for e in seen):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    web = lab.child("web")
    seen = []
    events = web.events()
    thread = threading.Thread(target=lambda: seen.extend(events))
    thread.start()
    try:
        process = start("sleep 60")
        web.attach(process.pid)
        until_seen(1)
        web.kill()
        until_seen(0)
        web.remove()
    finally:
        thread.join(SECONDS)
        events.close()
    assert not thread.is_alive()
    assert [(e.name, e.value) for e in seen if e.name == "populated"] == [
        ("populated", 1),
        ("populated", 0),
    ]


def test_asyncio_takes_them(lab, start):
    web = lab.child("web")

    async def watch():
        with web.events() as events:
            process = start("sleep 60")
            web.attach(process.pid)
            came = [event async for event in take(events, 1)]
            await asyncio.to_thread(web.kill)
            return came + [event async for event in take(events, 1)]

    async def take(events, count):
        async for event in events:
            if event.subsystem == "cgroup":
                yield event
                count -= 1
            if not count:
                return

    events = asyncio.run(asyncio.wait_for(watch(), SECONDS))
    assert [event.value for event in events] == [1, 0]


def test_cancelling_leaves_the_loop_clean(lab):
    async def watch():
        with lab.events() as events:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.2)
            loop = asyncio.get_running_loop()
            assert not loop.remove_reader(events.fileno())

    asyncio.run(watch())


def test_its_descriptor_is_readable_when_there_is_something_to_see(lab, start):
    web = lab.child("web")
    with web.events() as events:
        assert not select.select([events], [], [], 0)[0] or web.type is None
        process = start("sleep 60")
        web.attach(process.pid)
        if web.type is not None:  # v1 alone tells nobody
            assert select.select([events], [], [], SECONDS)[0]
        assert until(events, ("cgroup", "populated")) is not None
    with pytest.raises(ValueError, match="closed"):
        events.fileno()
    events.close()


def test_forgotten_listeners_are_told_of(lab):
    alone = {h: folder for h, folder in lab.folders.items() if h.version == 1} or lab.folders
    for folders in (lab.folders, alone):
        events = Events(folders)
        with pytest.warns(ResourceWarning, match="Events"):
            del events


def test_pressure_is_not_told_of_a_group_on_v1_alone(lab):
    group = next((Cgroup.at({h: f}) for h, f in lab.folders.items() if h.version == 1), None)
    if group is None:
        pytest.skip("needs a v1 hierarchy")
    with pytest.raises(UnsupportedError, match="the group is not on it"):
        group.trigger("cpu", stall=0.1, window=2)


def test_pressure_is_told_and_waited_for(lab, start):
    try:
        pressure = lab.pressure
    except UnsupportedError as error:
        with pytest.raises(UnsupportedError, match="v2"):
            lab.trigger("cpu", stall=0.1, window=2)
        pytest.skip(f"needs pressure stall information: {error}")
    assert pressure.cpu is not None
    assert pressure.cpu.some is not None
    before = pressure.cpu.some.total
    web = lab.child("web", Resources(cpu_max=0.05))
    with web.trigger("cpu", "some", stall=0.1, window=2) as trigger:
        assert not trigger.wait(0)
        process = start("while :; do :; done & while :; do :; done")
        web.attach(process.pid)
        process.stdin.close()
        assert trigger.wait(SECONDS)

        async def wait():
            return await asyncio.wait_for(trigger.happened(), SECONDS)

        assert asyncio.run(wait())
    after = lab.pressure.cpu
    assert after is not None
    assert after.some is not None
    assert after.some.total > before
    with pytest.raises(OSError, match=r"."):
        web.trigger("cpu", stall=5, window=100)


def test_descriptors_are_all_closed(lab):
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with lab.events():
            pass
    assert set(os.listdir("/proc/self/fd")) == before
