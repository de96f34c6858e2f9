"""A real Dask cluster whose calls run in boxes: each worker in a machine of its own, one of them killed."""

import contextlib
import json
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest

import nsbox
from nsbox import BoxSpec, Fleet, ImageError, Namespace, NamespaceType, RootFS, Security, WorkerDied

pytest.importorskip("distributed", reason="needs the extra nsbox[dask]")
pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from nsbox.dask import LayoutSpec, boxed
from nsbox.dask.layout import _close
from nsbox.network import Bridge

pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CALLS = 1000
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
}
SOURCE = os.path.dirname(os.path.dirname(nsbox.__file__))


def where(number):
    import os
    import socket

    return number * number, socket.gethostname(), os.getpid()


class Cluster:
    """A scheduler and workers, each in a machine; what asks them is in the scheduler's machine."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        self.stack = stack
        self.lan = stack.enter_context(Bridge.create("10.77.0.1/24"))
        # A machine may do what its starter may: it makes boxes of its own.
        spec = BoxSpec(
            rootfs=RootFS.system(python=True),
            link=self.lan,
            security=Security.privileged(),
            env={**BoxSpec().env, "PYTHONPATH": SOURCE, **SETTINGS},
        )
        names = ["scheduler", *(f"worker{n}" for n in range(workers))]
        specs = [one for name in names for one in spec.replicate(1, hostname=name)]
        self.machines = stack.enter_context(Fleet.start(specs, check=True))
        self.scheduler, *self.workers = self.machines
        address = f"tcp://{self.scheduler.address}:8786"
        flags = ["--port", "8786", "--no-dashboard"]
        self._serve(self.scheduler, "distributed.cli.dask_scheduler", *flags)
        for worker in self.workers:
            flags = ["--no-dashboard", "--no-nanny", "--nthreads", "2", "--name"]
            flags += [worker.spec.hostname, "--memory-limit", "0", "--local-directory", "/tmp"]
            self._serve(worker, "distributed.cli.dask_worker", address, *flags)
        self.address = address

    def _serve(self, machine, module, *flags):
        command = [sys.executable, "-m", module, *flags]
        log = nsbox.DEVNULL
        self.stack.enter_context(machine.popen(command, stdout=log, stderr=log))

    def ask(self, script):
        """Start a program in the scheduler's machine: it speaks with the cluster there."""
        text = f"ADDRESS = {self.address!r}\nWORKERS = {len(self.workers)}\n{PREAMBLE}{script}"
        command = [sys.executable, "-W", "ignore", "-c", text]
        return self.stack.enter_context(
            self.scheduler.popen(command, stdin=nsbox.PIPE, stdout=nsbox.PIPE, text=True)
        )


PREAMBLE = """
import json, sys, time
from distributed import Client, as_completed, wait
import nsbox
from nsbox import BoxSpec, RootFS
from nsbox.dask import boxed, reports

def where(number):
    import os, socket
    time.sleep(0.005)
    return number * number, socket.gethostname(), os.getpid()

spec = BoxSpec(rootfs=RootFS.system(python=True), hostname="a-box")
client = Client(ADDRESS, timeout=60)
client.wait_for_workers(WORKERS, timeout=60)
"""

A_THOUSAND = """
futures = client.map(boxed(where, spec, memory_max="1G"), range(1000), pure=False)
for number, future in enumerate(as_completed(futures)):
    if number == 400:
        print("half-way", flush=True)
results = client.gather(futures)
told = reports(client)
print(json.dumps({
    "results": results,
    "workers": [report.worker for report in told],
    "limits": [dict(report.limits) for report in told],
    "cpu": [report.usage.cpu_seconds for report in told if report.usage],
    "left": len(client.scheduler_info()["workers"]),
}), flush=True)
"""

CANCELLED = """
def sleep(seconds):
    time.sleep(seconds)

future = client.submit(boxed(sleep, spec), 600, pure=False)
while not any(client.processing().values()):
    time.sleep(0.05)
print("begun", flush=True)
sys.stdin.readline()
future.cancel()
print("cancelled", flush=True)
print(client.submit(boxed(where, spec), 7, pure=False).result(timeout=60)[:2], flush=True)
"""


@pytest.fixture
def stack():
    with ExitStack() as made:
        yield made


def boxes(machine):
    """The processes of workers in boxes, by the pid that each has in its machine."""
    script = "cd /proc; grep -l 'nsbox/executor/inside.py' [0-9]*/cmdline"
    done = machine.run(["sh", "-c", script], capture_output=True, text=True)
    return set(done.stdout.split()) - {"self/cmdline"}


def test_a_thousand_calls_survive_a_workers_machine(stack):
    cluster = Cluster(stack, workers=4)
    client = cluster.ask(A_THOUSAND)
    assert client.stdout.readline() == "half-way\n"
    victim = cluster.workers[1]
    assert boxes(victim)
    inside = list(tasks_in(victim))
    assert len(inside) > 5  # the worker, and boxes in boxes
    victim.kill()
    told = json.loads(client.stdout.readline())
    assert client.wait(60) == 0
    assert [square for square, _, _ in told["results"]] == [n * n for n in range(CALLS)]
    assert {name for _, name, _ in told["results"]} == {"a-box"}
    assert told["left"] == 3
    by_worker = Counter(told["workers"])
    assert len(by_worker) == 4
    assert sum(by_worker.values()) >= CALLS
    assert {json.dumps(one) for one in told["limits"]} == {'{"memory_max": "1G"}'}
    assert sum(told["cpu"]) > 0
    assert victim.wait(60) != 0
    until(lambda: not any(task.alive for task in inside))
    for task in inside:
        task.close()


def tasks_in(box):
    """All that runs in a box, and in boxes there, as handles that stand for nothing else later."""
    top = Namespace.of(box.pid, NamespaceType.PID)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            namespace = Namespace.of(int(pid), NamespaceType.PID)
            while namespace is not None and namespace != top:
                namespace = namespace.parent
            if namespace is not None:
                yield nsbox.Task(int(pid))


def test_a_call_that_is_cancelled_ends_its_box_and_the_worker_goes_on(stack):
    cluster = Cluster(stack, workers=1)
    client = cluster.ask(CANCELLED)
    assert client.stdout.readline() == "begun\n"
    (worker,) = cluster.workers
    until(lambda: boxes(worker))
    before = boxes(worker)
    client.stdin.write("go on\n")
    client.stdin.flush()
    assert client.stdout.readline() == "cancelled\n"
    assert client.stdout.readline() == "(49, 'a-box')\n"
    assert client.wait(60) == 0
    until(lambda: not before & boxes(worker))


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_outside_of_a_worker_a_call_runs_in_a_box_of_the_callers(tmp_path):
    spec = BoxSpec(rootfs=RootFS.system(python=True), hostname="mine")
    with own_boxes_ended():
        assert boxed(where, spec)(3)[:2] == (9, "mine")

        @boxed(spec=spec, timeout=0.5)
        def slow():
            time.sleep(60)

        with pytest.raises(TimeoutError):
            slow()
        with pytest.raises(WorkerDied):
            boxed(os._exit, spec)(3)


@contextlib.contextmanager
def own_boxes_ended():
    from nsbox.dask import calls

    try:
        yield
    finally:
        for several in calls._of_process._idle.values():
            for executor in several:
                executor.shutdown()
        calls._of_process._idle.clear()


def test_another_image_than_the_one_that_was_meant_is_refused(tmp_path):
    (tmp_path / "tree").mkdir()
    layout, store = tmp_path / "layout", tmp_path / "store"
    with nsbox.Image.build(tmp_path / "tree") as image:
        image.save(layout)
    with pytest.raises(ImageError, match="is there, not sha256:0000"):
        LayoutSpec(layout, "sha256:" + "0" * 64, store=store).resolve()
    with nsbox.Image.open(layout) as image:
        wish = LayoutSpec(layout, image.digest, store=store, fields={"hostname": "x"})
    try:
        spec = wish.resolve()
        assert spec.hostname == "x"
        assert str(store) in repr(spec.rootfs)
        assert wish.resolve() == spec
    finally:
        _close()
