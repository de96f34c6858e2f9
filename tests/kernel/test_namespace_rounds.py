"""Namespaces made, entered and let go many times over: by threads at once, and under signals."""

import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest

import nsbox
from nsbox import IDMap, Namespace, NamespaceType

pytestmark = pytest.mark.usefixtures("root")
THREADS, ROUNDS = 8, 1000
TO_CALL = (NamespaceType.MNT,)
TO_HOLD = (NamespaceType.USER, NamespaceType.TIME)


def places(tid):
    folder = f"/proc/self/task/{tid}/ns"
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}


def one_round(kind):
    """Make one, be in it if a thread can, and let it go; return what it was."""
    with Namespace.create(kind) as made:
        if kind in TO_CALL:
            assert made.call(Namespace.current, kind) == made
        elif kind not in TO_HOLD:
            with made.entered():
                which = "pid_for_children" if kind is NamespaceType.PID else kind.proc_name
                assert os.readlink(f"/proc/thread-self/ns/{which}") == str(made)
        return made.device, made.inode


def test_a_thousand_rounds_from_eight_threads_leave_nothing_and_nobody_elsewhere():
    start, failures, done = threading.Barrier(THREADS), [], []
    kinds = itertools.cycle(NamespaceType)
    mine = [[next(kinds) for _ in range(ROUNDS // THREADS)] for _ in range(THREADS)]

    def work(kinds):
        before = places(threading.get_native_id())
        start.wait()
        try:
            done.extend([one_round(kind) for kind in kinds])
            assert places(threading.get_native_id()) == before
        except BaseException as error:
            failures.append(error)

    here = places(os.getpid())
    descriptors = os.listdir("/proc/self/fd")
    threads = [threading.Thread(target=work, args=(kinds,)) for kinds in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(done) == ROUNDS
    assert places(os.getpid()) == here
    assert os.listdir("/proc/self/fd") == descriptors
    mine = {os.getpid(), *(task.pid for task in nsbox.Task.current().children)}
    for namespace in nsbox.namespaces():
        assert str(namespace) in here.values() or not mine & set(namespace.pids())


def test_signals_with_a_handler_interrupt_nothing():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    here = places(os.getpid())
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for kind in itertools.islice(itertools.cycle(NamespaceType), 160):
            one_round(kind)
        with Namespace.create(NamespaceType.USER, id_map=IDMap.ranges([(0, 100000, 10)])):
            pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) > 50
    assert places(os.getpid()) == here


PRELUDE = """
import gc, os, random, signal, sys, nsbox
from nsbox import IDMap, Namespace, NamespaceType
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
random.seed(int(sys.argv[1]))
def interrupted(function):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-3))
            function()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        return 1
    return 0
def places():
    return [os.readlink(f"/proc/self/ns/{name}") for name in sorted(os.listdir("/proc/self/ns"))]
def children():
    listed = "/proc/self/task/%d/children" % os.getpid()
    if open(listed).read():
        gc.collect()
    return open(listed).read()
here, stopped = places(), 0
"""
NAMESPACES = """
kinds = NamespaceType.UTS, NamespaceType.PID, NamespaceType.NET, NamespaceType.USER
def use():
    id_map = IDMap.ranges([(0, 100000, 10)]) if kind is NamespaceType.USER else None
    made = Namespace.create(kind, id_map=id_map)
    if kind is not NamespaceType.USER:
        with made.entered():
            pass
number = 0
while number < 300 or stopped <= 30:
    kind = kinds[number % 4]
    stopped += interrupted(use)
    assert (places(), children()) == (here, ""), (number, kind)
    number += 1
print(stopped)
"""
RUNS = """
nsbox.run(["true"])
for number in range(100):
    stopped += interrupted(lambda: nsbox.run(["sleep", "0.003"]))
    assert (places(), children()) == (here, ""), number
print(stopped)
"""


@pytest.mark.parametrize("script", [NAMESPACES, RUNS], ids=["namespaces", "runs"])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_handler_raises_at_any_moment_leaves_no_process_and_no_thread_elsewhere(
    script, seed
):
    """In a program of its own: where a handler's exception comes between the return of open(2) and
    the line that would keep the descriptor, no Python program can close it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + script, str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
