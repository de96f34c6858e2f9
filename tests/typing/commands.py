"""What type checkers make of commands: read by mypy and pyright, never run."""

import asyncio
from pathlib import Path
from typing import Any, assert_type

import nsbox
from nsbox import BoxExecutor, BoxFuture, BoxPath, BoxSpec, CompletedProcess, Process, Usage

spec = BoxSpec(hostname="node1", env={"A": "b"}, cwd=Path("/tmp"))
assert_type(spec, BoxSpec)
assert_type(spec.hostname, str | None)
assert_type(spec.replicate(3, hostname="node{index}"), tuple[BoxSpec, ...])

done = nsbox.run(["true"], spec, capture_output=True, text=True, timeout=1.5, check=True)
assert_type(done, CompletedProcess)
assert_type(done.returncode, int)
assert_type(done.usage, Usage)
assert_type(done.usage.cpu_seconds, float)
assert_type(done.usage.memory_peak, int | None)
nsbox.run("true")
nsbox.run(b"true", stdout=nsbox.PIPE, stderr=nsbox.STDOUT, stdin=nsbox.DEVNULL)
nsbox.run([Path("/bin/true"), "x"], user="nobody", pass_fds=(3,))

process = nsbox.popen(["sh"], spec, stdin=nsbox.PIPE, pty=(24, 80))
assert_type(process, Process)
assert_type(process.returncode, int | None)
assert_type(process.wait(timeout=1), int)

with spec.start() as box:
    assert_type(box, nsbox.Box)
    assert_type(box.run(["true"], timeout=2), CompletedProcess)
    assert_type(box.popen(["true"], stdout=nsbox.PIPE), Process)
    assert_type(box.root / "etc", BoxPath)
    assert_type((box.root / "etc/motd").read_text(), str)
    assert_type(box.address, str | None)
    assert_type(box.pid, int)
    with nsbox.watch(box, interval=1) as watch:
        assert_type(watch, nsbox.Watch)
        assert_type(watch.samples[-1].memory, int | None)

plan = spec.plan(["true"])
assert_type(plan, nsbox.Plan)
assert_type(plan[0], nsbox.Step)
assert_type(plan[0].name, str)


def double(number: int) -> int:
    return number * 2


with BoxExecutor(spec, max_workers=2, isolation="box") as executor:
    future: BoxFuture = executor.submit(double, 2)
    result: Any = future.result()
    executor.submit(double, "2")  # type: ignore[arg-type]  # pyright: ignore
    BoxExecutor(isolation="thread")  # type: ignore[arg-type]  # pyright: ignore


with nsbox.Pool(spec, size=2) as pool, nsbox.Pool(spec, stays=True) as boxes:
    assert_type(pool.run(["true"], timeout=2), CompletedProcess)
    assert_type(pool.popen(["true"], stdout=nsbox.PIPE), Process)
    assert_type(boxes.start(), nsbox.Box)
    BoxExecutor(pool=pool)
    BoxExecutor(pool=spec)  # type: ignore[arg-type]  # pyright: ignore


async def awaited() -> None:
    assert_type(await nsbox.aio.run(["true"], spec, capture_output=True), CompletedProcess)
    assert_type(await nsbox.aio.popen(["true"]), nsbox.aio.Process)
    assert_type(await nsbox.aio.start(spec), nsbox.aio.Box)
    assert_type(await nsbox.aio.start(boxes), nsbox.aio.Box)
    assert_type(await nsbox.aio.run(["true"], pool), CompletedProcess)


asyncio.run(awaited())

nsbox.run(["true"], {"hostname": "x"})  # type: ignore[arg-type]  # pyright: ignore
nsbox.run(["true"], shell=True)  # type: ignore[call-arg]  # pyright: ignore
BoxSpec("node1")  # type: ignore[call-arg]  # pyright: ignore
BoxSpec(host="node1")  # type: ignore[call-arg]  # pyright: ignore
spec.hostname = "other"  # type: ignore[misc]  # pyright: ignore
