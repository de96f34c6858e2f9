"""Many machines at once: hundreds on one network, a thousand boxes alive; nothing is left of them."""

import os
import resource
import shutil
import time
from contextlib import ExitStack

import pytest

from nsbox import BoxSpec, Fleet

pytestmark = pytest.mark.usefixtures("root")

ASK = """
import socket, sys
for name in sys.stdin.read().split():
    with socket.create_connection((name, 80), timeout=10) as peer:
        peer.sendall(b"GET /etc/hostname HTTP/1.0\\r\\n\\r\\n")
        print(peer.recv(999).split()[1].decode())
"""


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8000:
        pytest.skip("needs 8,000 descriptors: see RLIMIT_NOFILE in getrlimit(2)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(
    shutil.which("busybox") is None, reason="needs busybox (Debian: busybox-static)"
)
def test_two_hundred_machines_each_answer_by_name(many_descriptors):
    pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")
    from nsbox.network import Bridge

    serve = ["busybox", "httpd", "-f", "-p", "80", "-h", "/"]
    with Bridge.create("10.77.0.1/22") as lan, ExitStack() as stack:
        specs = BoxSpec().replicate(200, hostname="node{index}", link=lan)
        fleet = stack.enter_context(Fleet.start(specs, check=True))
        for box in fleet:
            stack.enter_context(box.popen(serve))
        names = [box.spec.hostname for box in fleet]
        command = ["/usr/bin/python3", "-ISc", ASK]
        wait_for_last(fleet)
        done = fleet[77].run(
            command, input="\n".join(names), capture_output=True, text=True, check=True
        )
        assert len(done.stdout.split()) == 200
        assert set(done.stdout.split()) <= {"200", "404"}


def wait_for_last(fleet):
    """Until all serve: listening sockets are what /proc/net/tcp shows, in state 0A."""
    deadline = time.monotonic() + 30
    for box in fleet:
        while ":0050" not in listening(box):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def listening(box):
    with open(f"/proc/{box.pid}/net/tcp") as four, open(f"/proc/{box.pid}/net/tcp6") as six:
        return four.read() + six.read()


def test_a_thousand_boxes_are_alive_at_once_and_gone_together(many_descriptors):
    before = len(os.listdir("/proc/self/fd"))
    with Fleet.start(BoxSpec().replicate(1000, hostname="node{index}"), check=True) as fleet:
        assert all(box.poll() is None for box in fleet)
        assert len({box.pid for box in fleet}) == 1000
        assert fleet[999].run(["hostname"], capture_output=True, text=True).stdout == "node999\n"
        assert len(fleet.stats()) == 1000
    assert not any(os.path.exists(f"/proc/{box.pid}") for box in fleet.boxes)
    assert len(os.listdir("/proc/self/fd")) <= before + 10
