"""What takes its boxes from a pool: `Pool.start`, `nsbox.aio` and `BoxExecutor`."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxExecutor, BoxSpec, Cgroup, Pool, Resources, RootFS, aio

PYTHON = BoxSpec(rootfs=RootFS.system(python=True))


def waiting(pool: Pool) -> list[int]:
    """Tell the boxes that wait, by their first processes."""
    assert pool.fill(60)
    return [each.box.pid if pool.stays else each.launched.pid for each in pool._stock.ready]  # type: ignore[union-attr]


def test_start_gives_a_box_as_any_other() -> None:
    spec = BoxSpec(hostname="ahead", env={"PATH": "/usr/bin:/bin", "A": "b"})
    with Pool(spec, size=2, stays=True) as pool:
        ready = waiting(pool)
        with pool.start() as box:
            assert box.pid in ready
            assert box.spec == spec
            assert box.run(["hostname"], capture_output=True).stdout == b"ahead\n"
            assert box.run(["sh", "-c", "echo $A >/tmp/kept"]).returncode == 0
            assert box.run(["cat", "/tmp/kept"], capture_output=True).stdout == b"b\n"
            assert (box.root / "tmp/kept").read_text() == "b\n"
        assert box.poll() is not None
        assert box.pid not in waiting(pool)


def test_a_box_that_was_taken_outlives_its_pool() -> None:
    with Pool(size=1, stays=True) as pool:
        box = pool.start()
    with box:
        assert box.run(["true"]).returncode == 0


def test_each_that_stays_is_given_once() -> None:
    with Pool(size=2, stays=True) as pool:
        boxes = []
        try:
            for _ in range(6):
                assert pool.fill(60)
                boxes.append(pool.start())
                done = boxes[-1].run(["sh", "-c", "ls /tmp; touch /tmp/left"], capture_output=True)
                assert done.stdout == b""
        finally:
            for box in boxes:
                box.close()
        assert len({box.pid for box in boxes}) == 6


def test_a_pool_of_the_other_kind_makes_a_box_on_demand() -> None:
    with Pool(size=1) as pool:
        ready = waiting(pool)
        with pool.start() as box:
            assert box.pid not in ready
        assert waiting(pool) == ready
    with Pool(size=1, stays=True) as pool:
        ready = waiting(pool)
        assert pool.run(["echo", "x"], capture_output=True).stdout == b"x\n"
        assert waiting(pool) == ready


def test_those_that_wait_to_start_have_their_limits_in_the_group_of_the_pool(root: None) -> None:
    spec = BoxSpec(resources=Resources(pids_max=20))
    with (
        Cgroup.create(f"nsbox-{os.getpid()}-pool-test", subsystems=["pids"]) as group,
        Pool(spec, size=1, stays=True, cgroup=group) as pool,
    ):
        ready = waiting(pool)
        with pool.start() as box:
            assert box.pid in ready
            assert box.cgroup.resources.pids_max == 20
            assert box.cgroup.parent == group
            assert box.run(["true"]).returncode == 0


def test_boxes_that_stay_are_awaited() -> None:
    async def main() -> None:
        with Pool(size=2, stays=True) as pool:
            ready = waiting(pool)
            async with await aio.start(pool) as box:
                assert box.sync.pid in ready
                done = await box.run(["echo", "x"], capture_output=True)
                assert done.stdout == b"x\n"
            assert box.sync.poll() is not None

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_pool_has_its_own_group_where_it_is_awaited() -> None:
    async def main(pool: Pool) -> None:
        given: Any = object()
        with pytest.raises(ValueError, match="cgroup"):
            await aio.run(["true"], pool, cgroup=given)
        with pytest.raises(ValueError, match="cgroup"):
            await aio.popen(["true"], pool, cgroup=given)
        with pytest.raises(ValueError, match="cgroup"):
            await aio.start(pool, cgroup=given)

    with Pool(size=1) as pool:
        asyncio.run(main(pool))


@pytest.mark.parametrize("end", ["cancelled", "late"])
def test_what_is_awaited_no_longer_ends_with_all_that_it_started(end: str, tmp_path: Path) -> None:
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(nsbox.Mount.bind(tmp_path, "/shared")))
    script = "sleep 1000 & setsid sleep 1000 & echo >/shared/begun; sleep 1000"
    begun = tmp_path / "begun"

    async def main() -> None:
        with Pool(spec, size=1) as pool:
            for late in (1, 10, 100) if end == "late" else (None,):
                (first,) = waiting(pool)
                running = asyncio.create_task(aio.run(["sh", "-c", script], pool, timeout=late))
                while not begun.exists() and not running.done():
                    await asyncio.sleep(0.01)
                if end == "cancelled":
                    running.cancel()
                error = asyncio.CancelledError if end == "cancelled" else subprocess.TimeoutExpired
                with pytest.raises(error):
                    await running
                namespace = f"/proc/{first}/ns/pid"
                assert not os.path.exists(namespace)  # it is the last to go there
                if begun.exists():
                    break  # else its time was over before it had started them
            assert begun.exists()
            assert (await aio.run(["echo", "x"], pool, capture_output=True)).stdout == b"x\n"

    asyncio.run(asyncio.wait_for(main(), 200))


WHERE = "(__import__('os').stat('/proc/self/ns/pid').st_ino, __import__('sys').stdin.read())"
"""The namespace that a call runs in, and what is on its standard input; for `eval`, which every
interpreter has, as this module is not to be found in a box."""


@pytest.mark.parametrize("isolation", ["process", "box", "none"])
def test_workers_are_started_in_boxes_of_a_pool(isolation: Any) -> None:
    with Pool(PYTHON, size=2) as pool:
        ready = {os.stat(f"/proc/{pid}/ns/pid").st_ino for pid in waiting(pool)}
        with BoxExecutor(max_workers=2, isolation=isolation, pool=pool) as executor:
            assert executor.spec == PYTHON
            namespace, read = executor.submit(eval, WHERE).result(60)
            assert namespace in ready
            assert read == ""
            assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        assert pool.fill(60)
        assert pool.run(["true"]).returncode == 0  # it is left open


def test_a_worker_of_a_pool_that_dies_is_replaced() -> None:
    with Pool(PYTHON, size=1) as pool, BoxExecutor(max_workers=1, pool=pool) as executor:
        with pytest.raises(nsbox.WorkerDied):
            executor.submit(os._exit, 3).result(60)
        assert executor.submit(abs, -1).result(60) == 1
        executor.kill_workers()


def test_workers_go_on_without_their_pool() -> None:
    with Pool(PYTHON, size=1) as pool:
        executor = BoxExecutor(max_workers=1, isolation="box", pool=pool)
    with executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]


def test_what_does_not_go_with_a_pool_is_refused() -> None:
    with Pool(PYTHON, size=1) as pool:
        with pytest.raises(ValueError, match="spec"):
            BoxExecutor(BoxSpec(hostname="other"), pool=pool)
        with pytest.raises(ValueError, match="cgroup"):
            BoxExecutor(pool=pool, cgroup=object())  # type: ignore[arg-type]
        with BoxExecutor(PYTHON, 1, pool=pool) as executor:
            assert executor.settings.pool is pool
    with Pool(PYTHON, size=1, stays=True) as pool, pytest.raises(ValueError, match="pool"):
        BoxExecutor(pool=pool)
    with pytest.raises(ValueError, match="pool"):
        BoxExecutor(pool="pool")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stays"):
        Pool(size=1, stays=3)  # type: ignore[arg-type]


def test_a_worker_without_an_interpreter_says_so() -> None:
    with (
        Pool(size=1) as pool,
        BoxExecutor(max_workers=1, python="/no/such/python", pool=pool) as executor,
        pytest.raises(FileNotFoundError) as caught,
    ):
        executor.submit(abs, 1).result(60)
    assert any("RootFS.system(python=True)" in note for note in caught.value.__notes__)
