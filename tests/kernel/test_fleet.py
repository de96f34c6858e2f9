"""Many boxes as one: an error of one is its own, and nothing is lost with it."""

import asyncio
import gc
import pickle
import signal
import threading
import time

import pytest

import nsbox
from nsbox import BoxSpec, Fleet, NsboxError, RootFS, StepError
from nsbox.fleet import on_bar

SPEC = BoxSpec(hostname="node")
BROKEN = BoxSpec(rootfs=RootFS.directory("/no/such/tree"), hostname="broken")


def specs(count):
    return SPEC.replicate(count, hostname="node{index}")


def names(fleet):
    done = fleet.run(["hostname"], capture_output=True, text=True)
    return [future.result().stdout.strip() for future in done]


def test_all_are_started_in_the_order_of_their_specs_and_ended():
    with Fleet.start(specs(8), max_workers=4) as fleet:
        boxes = tuple(fleet)
        assert [box.spec.hostname for box in boxes] == [f"node{n}" for n in range(8)]
        assert names(fleet) == [f"node{n}" for n in range(8)]
        assert fleet[-1] is boxes[7]
        assert (len(fleet), fleet.boxes, dict(fleet.errors)) == (8, boxes, {})
        assert repr(fleet) == "<Fleet of 8, 8 alive>"
    assert all(box.poll() is not None for box in boxes)
    fleet.close()


def test_one_that_cannot_be_started_keeps_no_other_from_running():
    first, *rest = specs(4)
    with Fleet.start([first, BROKEN, *rest]) as fleet:
        assert len(fleet.boxes) == 4
        assert list(fleet.errors) == [1]
        assert "box 1 of the fleet, 'broken'" in fleet.errors[1].__notes__
        with pytest.raises(FileNotFoundError):
            fleet[1]
        with pytest.raises(FileNotFoundError):
            list(fleet)
        ran = fleet.run(["true"])
        assert [future.exception() is None for future in ran] == [True, False, True, True, True]
        assert repr(fleet) == "<Fleet of 5, 4 alive, 1 failed>"


def test_under_check_all_errors_are_raised_together_and_nothing_stays():
    with pytest.raises(ExceptionGroup, match="2 of 4 boxes could not be started") as caught:
        Fleet.start([*specs(2), BROKEN, BROKEN], check=True)
    assert all(isinstance(error, FileNotFoundError) for error in caught.value.exceptions)


def test_a_call_that_raises_does_so_for_its_own_box_alone():
    def ask(box):
        if box.spec.hostname == "node1":
            raise KeyError("no")
        return box.pid

    with Fleet.start(specs(3)) as fleet:
        done = fleet.each(ask)
        assert all(future.done() for future in done)
        assert done[0].result() == fleet[0].pid
        assert isinstance(done[1].exception(), KeyError)
        assert done[2].result() == fleet[2].pid


def test_calls_run_side_by_side():
    together = threading.Barrier(4)
    with Fleet.start(specs(4), max_workers=4) as fleet:
        assert sorted(f.result() for f in fleet.each(lambda _: together.wait(20))) == [0, 1, 2, 3]


def test_progress_is_told_of_each_in_the_callers_thread():
    told = []
    here = threading.get_ident()

    def progress(done, total, name):
        told.append((done, total, name))
        assert threading.get_ident() == here

    with Fleet.start(specs(5), progress=progress) as fleet:
        assert [(done, total) for done, total, _ in told] == [(n, 5) for n in range(1, 6)]
        assert {name for *_, name in told} == {f"node{n}" for n in range(5)}
        told.clear()
        fleet.restart(at_once=2, progress=progress)
        assert [(done, total) for done, total, _ in told] == [(n, 5) for n in range(1, 6)]


def test_a_bar_of_tqdms_is_moved(tmp_path):
    tqdm = pytest.importorskip("tqdm").tqdm
    tqdm.monitor_interval = 0  # or it has a thread of its own
    with (
        open(tmp_path / "output", "w", encoding="utf-8") as file,
        tqdm(unit="box", file=file) as bar,
        Fleet.start(specs(3), progress=on_bar(bar)) as fleet,
    ):
        assert bar.n == bar.total == len(fleet) == 3


def test_a_progress_that_raises_ends_what_was_started():
    def interrupt(done, total, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fleet.start(specs(6), max_workers=2, progress=interrupt)
    gc.collect()


def test_the_stats_of_all_are_one_table():
    if not nsbox.probe().cgroups.writable:
        pytest.skip("needs cgroups that the caller may make")
    limited = BoxSpec(resources=nsbox.Resources(pids_max=20))
    with Fleet.start([*limited.replicate(2, hostname="node{index}"), BROKEN]) as fleet:
        fleet[1].stop()
        table = fleet.stats()
        assert [(row.place, row.name, row.state) for row in table] == [
            (0, "node0", "alive"),
            (1, "node1", "ended"),
            (2, "broken", "failed"),
        ]
        alive, ended, failed = table
        assert alive.stats.pids.current >= 1
        assert dict(ended.stats.parts) == dict(failed.stats.parts) == {}
        assert table.total.pids.current == alive.stats.pids.current
        assert table.records()[0]["pids.current"] == alive.stats.pids.current
        assert table.records()[2] == {"place": 2, "name": "broken", "state": "failed"}
        lines = str(table).splitlines()
        assert lines[0].split()[:2] == ["name", "state"]
        assert lines[3].split() == ["2", "broken", "failed"]
        assert pickle.loads(pickle.dumps(table)) == table


def test_a_rolling_restart_goes_from_one_to_the_next():
    alive = []

    def ready(box):
        alive.append(sum(one.poll() is None for one in fleet.boxes))
        assert box.run(["true"]).returncode == 0

    with Fleet.start(specs(4)) as fleet:
        before = [box.pid for box in fleet]
        fleet.restart(at_once=2, ready=ready)
        assert not set(before) & {box.pid for box in fleet}
        assert names(fleet) == [f"node{n}" for n in range(4)]
    assert len(alive) == 4
    assert min(alive) >= 2


def test_a_restart_brings_new_specs():
    with Fleet.start(specs(2)) as fleet:
        fleet.restart(SPEC.replicate(2, hostname="new{index}"))
        assert names(fleet) == ["new0", "new1"]
        assert [spec.hostname for spec in fleet.specs] == ["new0", "new1"]
        with pytest.raises(ValueError, match="specs: as many as there are boxes, 2"):
            fleet.restart(specs(3))


def test_a_restart_that_fails_leaves_those_after_it_alone():
    with Fleet.start(specs(3)) as fleet:
        first, _, last = before = [box.pid for box in fleet]
        one, _, three = specs(3)
        with pytest.raises(
            ExceptionGroup, match="1 of 1 boxes could not be started anew"
        ) as caught:
            fleet.restart([one, BROKEN, three])
        assert isinstance(caught.value.exceptions[0], StepError)
        assert fleet[0].pid != first
        assert fleet[2].pid == last
        assert list(fleet.errors) == [1]
        fleet.restart(specs(3))  # what failed is started, too
        assert not set(before) & {box.pid for box in fleet}


def test_one_that_was_not_started_can_be_restarted():
    with Fleet.start([BROKEN]) as fleet:
        fleet.restart(specs(1))
        assert names(fleet) == ["node0"]


def test_stopping_asks_all_at_once_and_insists_on_those_that_do_not_listen():
    deaf = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    with Fleet.start(specs(3)) as fleet:
        with fleet[1].popen(deaf, stdout=nsbox.PIPE, text=True) as running:
            assert running.stdout.readline() == "ready\n"
            assert fleet.stop(timeout=5) == (0, -signal.SIGKILL, 0)
        assert fleet.stop() == (0, -signal.SIGKILL, 0)


def test_a_frozen_box_is_stopped_too():
    if not nsbox.probe().cgroups.writable:
        pytest.skip("needs cgroups that the caller may make")
    with Fleet.start(specs(2)) as fleet:
        fleet[0].freeze()
        assert fleet.stop(timeout=60) == (0, 0)


def test_boxes_that_have_ended_by_themselves_are_in_nobodys_way():
    with Fleet.start(specs(3)) as fleet:
        fleet[0].kill()
        fleet[0].wait()
        ran = fleet.run(["true"])
        assert isinstance(ran[0].exception(), ProcessLookupError)
        assert [future.result().returncode for future in ran[1:]] == [0, 0]
        fleet.restart()
        assert all(box.poll() is None for box in fleet)


async def a_fleet_awaited():
    async with await nsbox.aio.start_fleet(specs(4)) as fleet:
        done = await fleet.run(["hostname"], capture_output=True, text=True)
        assert [one.stdout for one in done] == [f"node{n}\n" for n in range(4)]
        before = [box.pid for box in fleet.sync]
        fleet.sync[1].kill()
        fleet.sync[1].wait()
        ended = await fleet.run(["true"])
        assert isinstance(ended[1], ProcessLookupError)
        assert ended[2].returncode == 0
        await fleet.restart(at_once=4)
        assert not set(before) & {box.pid for box in fleet.sync}
        assert await fleet.stop() == (0, 0, 0, 0)
    with pytest.raises(ExceptionGroup, match="1 of 2"):
        await nsbox.aio.start_fleet([*specs(1), BROKEN], check=True)


def test_a_fleet_is_awaited_while_a_loop_runs():
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.001)

    async def main():
        ticking = asyncio.create_task(tick())
        await a_fleet_awaited()
        ticking.cancel()

    asyncio.run(main())
    assert len(ticks) > 10


def test_nonsense_is_refused():
    for number in (0, -1, True, "2"):
        with pytest.raises(ValueError, match=r"^max_workers: "):
            Fleet.start(specs(1), max_workers=number)
    with Fleet.start([]) as empty:
        assert (tuple(empty), empty.stop(), len(empty.stats())) == ((), (), 0)
        with pytest.raises(ValueError, match=r"^at_once: "):
            empty.restart(at_once=0)
        with pytest.raises(TypeError, match="no_such"):
            empty.run(["true"], no_such=1)
    with pytest.raises(ValueError, match="is closed"):
        empty.each(print)


def test_it_does_not_travel_and_warns_when_forgotten():
    with Fleet.start(specs(1)) as fleet, pytest.raises(TypeError, match="is a live handle"):
        pickle.dumps(fleet)

    def forget():
        Fleet.start(specs(1))
        gc.collect()

    with pytest.warns(ResourceWarning, match="was not closed"):
        forget()


def test_a_notebook_shows_a_row_for_each():
    with Fleet.start([*specs(2), BROKEN]) as fleet:
        for shown in (fleet, fleet.stats()):
            assert shown._repr_html_().count("<tr>") >= 4
        assert "No such file" in fleet._repr_html_()


def test_what_was_never_started_says_so():
    fleet = Fleet(specs(1), None, None)
    with pytest.raises(NsboxError, match="interrupted"):
        fleet[0]
    fleet.close()
