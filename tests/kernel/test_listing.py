"""What namespaces there are: the same as lsns(8) says."""

import contextlib
import json
import os
import subprocess
import threading
import time

import pytest
from below import until

import nsbox
from nsbox import BoxSpec, Choice, Namespace, NamespaceType

pytestmark = pytest.mark.usefixtures("root")


def lsns():
    command = ["lsns", "--json", "--output", "NS,TYPE"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {(entry["type"], entry["ns"]) for entry in told["namespaces"]}


def listed():
    return {(namespace.type.proc_name, namespace.inode) for namespace in nsbox.namespaces()}


def wait_for(process, kind, *, to_leave):
    deadline = time.monotonic() + 60
    while os.readlink(f"/proc/{process.pid}/ns/{kind.proc_name}") == to_leave:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_list_is_what_lsns_prints_while_fifty_boxes_run():
    kinds = [{}, {NamespaceType.USER: Choice.NEW}, {NamespaceType.TIME: Choice.NEW}]
    specs = [BoxSpec(namespaces=nsbox.ISOLATED | kind) for kind in kinds]
    with contextlib.ExitStack() as boxes:
        running = [boxes.enter_context(specs[number % 3].start()) for number in range(50)]
        inside = {Namespace.of(box.pid, NamespaceType.NET) for box in running}
        assert len(inside) == 50
        until(lambda: listed() == lsns() == listed())  # others of this host come and go between
        assert inside <= set(nsbox.namespaces())


def test_one_that_was_listed_and_is_gone_says_so_when_it_is_used():
    with BoxSpec().start() as box:
        mine = next(n for n in nsbox.namespaces() if n == Namespace.of(box.pid, NamespaceType.UTS))
    with pytest.raises(FileNotFoundError):
        mine.fileno()


def test_one_that_was_listed_is_not_taken_for_another_that_its_process_has_entered():
    with subprocess.Popen(["unshare", "--uts", "cat"], stdin=subprocess.PIPE) as process:
        wait_for(process, NamespaceType.UTS, to_leave=str(Namespace.current(NamespaceType.UTS)))
        mine = next(n for n in nsbox.namespaces() if n.pids() == (process.pid,))
        process.communicate()
    assert mine.type is NamespaceType.UTS
    with pytest.raises(FileNotFoundError):
        mine.fileno()


def test_one_that_was_listed_is_opened_once_by_many_threads():
    mine = next(n for n in nsbox.namespaces() if n == Namespace.current(NamespaceType.IPC))
    found = []
    threads = [threading.Thread(target=lambda: found.append(mine.fileno())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    mine.close()
