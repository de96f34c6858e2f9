"""Ports of a box on the host's loopback: through a thread of the caller's, and gone with the box."""

import errno
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress

import pytest

import nsbox
from nsbox import ISOLATED, BoxSpec, Choice, NamespaceType, UnsupportedError

PYTHON = ["/usr/bin/python3", "-ISc"]
ECHO = """
import socket, sys, threading
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
server = socket.create_server((address, port), family=family)
print("ready", flush=True)
def echo(peer):
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)
        peer.sendall(b"end")
while True:
    threading.Thread(target=echo, args=server.accept()[:1], daemon=True).start()
"""


def serving(stack, box, address="127.0.0.1", port=8000):
    command = [*PYTHON, ECHO, address, str(port)]
    server = stack.enter_context(box.popen(command, stdout=nsbox.PIPE, text=True))
    assert server.stdout.readline() == "ready\n"


def said(port, words):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(words)
        peer.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(65536), b""))


def is_open(port):
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def stack():
    with ExitStack() as made:
        yield made


def test_what_listens_in_a_box_is_reached_on_the_hosts_loopback(stack):
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    serving(stack, box)
    assert list(box.ports) == [8000]
    assert said(box.ports[8000], b"hello") == b"helloend"


@pytest.mark.parametrize("address", ["0.0.0.0", "::1"])
def test_a_server_is_found_on_whichever_loopback_it_listens(stack, address):
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    serving(stack, box, address)
    assert said(box.ports[8000], b"x") == b"xend"


def test_the_hosts_port_can_be_chosen_and_is_free_again_afterwards(stack):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        chosen = busy.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            BoxSpec(ports={chosen: 8000}).start()
        assert caught.value.errno == errno.EADDRINUSE
        assert f"ports: {chosen}" in caught.value.__notes__[0]
    for _ in range(2):
        with BoxSpec(ports={chosen: 8000, 0: 9000}).start() as box:
            assert box.ports[8000] == chosen != box.ports[9000]
    with pytest.raises(ConnectionRefusedError):
        said(chosen, b"")


def test_one_port_in_ten_boxes_at_once(stack):
    boxes = [stack.enter_context(spec.start()) for spec in BoxSpec(ports=[8000]).replicate(10)]
    assert len({box.ports[8000] for box in boxes}) == 10
    for box in boxes:
        serving(stack, box)
    assert [said(box.ports[8000], b"%d" % n) for n, box in enumerate(boxes)] == [
        b"%dend" % n for n in range(10)
    ]


def test_a_lot_passes_both_ways_and_many_connections_do_not_wait_for_one_another(stack):
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    serving(stack, box)
    data = os.urandom(4 << 20)
    idle = [
        stack.enter_context(socket.create_connection(("127.0.0.1", box.ports[8000])))
        for _ in range(5)
    ]
    found = []

    def receive(peer):
        while sum(map(len, found)) < len(data):
            found.append(peer.recv(1 << 16))

    with socket.create_connection(("127.0.0.1", box.ports[8000]), timeout=60) as peer:
        reading = threading.Thread(target=receive, args=(peer,))
        reading.start()
        peer.sendall(data)
        reading.join()
    assert b"".join(found) == data
    idle[0].sendall(b"still here")
    assert idle[0].recv(99) == b"still here"


def test_where_nothing_listens_the_connection_is_reset(stack):
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    with (  # nothing is said: what is sent on a connection that is reset fails in other ways
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", box.ports[8000]), timeout=60) as peer,
    ):
        peer.recv(9)


def test_a_connection_that_is_reset_leaves_nothing_to_those_that_follow(stack):
    """Each gets the descriptors of the one before."""
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    serving(stack, box)
    for _ in range(3):
        peer = socket.create_connection(("127.0.0.1", box.ports[8000]), timeout=60)
        peer.sendall(b"one")
        assert peer.recv(9) == b"one"
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # by a reset: socket(7)
        assert said(box.ports[8000], b"hello") == b"helloend"


def test_a_connection_ends_with_the_box(stack):
    box = stack.enter_context(BoxSpec(ports=[8000]).start())
    serving(stack, box)
    with socket.create_connection(("127.0.0.1", box.ports[8000]), timeout=60) as peer:
        peer.sendall(b"one")
        assert peer.recv(9) == b"one"
        port = box.ports[8000]
        box.kill()  # nobody waits for it: the thread sees it by itself
        with suppress(ConnectionResetError):
            assert peer.recv(9) == b""
        deadline = time.monotonic() + 60
        while is_open(port):
            assert time.monotonic() < deadline


def test_a_command_alone_has_ports_too():
    with nsbox.popen(
        [*PYTHON, ECHO, "127.0.0.1", "8000"], BoxSpec(ports=[8000]), stdout=nsbox.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "ready\n"
        assert said(server.published.ports[8000], b"a") == b"aend"


def test_a_box_on_a_bridge_has_them_too(stack):
    pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")
    lan = stack.enter_context(nsbox.network.Bridge.create("10.77.0.1/24"))
    box = stack.enter_context(BoxSpec(link=lan, ports=[8000]).start())
    serving(stack, box, "0.0.0.0")
    assert said(box.ports[8000], b"wire") == b"wireend"


def test_a_start_that_fails_gives_its_ports_back():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FileNotFoundError):
        nsbox.run(["/no/such/program"], BoxSpec(ports={port: 80}))
    socket.create_server(("127.0.0.1", port)).close()


def test_an_ordinary_users_box_that_could_trace_the_forwarder_is_refused(ordinary_user):
    spec = BoxSpec(ports=[80], namespaces=ISOLATED | {NamespaceType.PID: Choice.HOST})
    with pytest.raises(UnsupportedError, match=r"ports: .* pid namespace"):
        spec.start()
