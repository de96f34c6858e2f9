"""Networks beyond one bridge: others behind it, the host's wire, a way out.

Whatever would change a host's network is tried on one that is a namespace of the test's own.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from below import until
from machines import ask, asking, serve

from nsbox import BoxSpec, Fleet, Namespace, NamespaceType, StepError, UnsupportedError

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from nsbox.network import Bridge, LowerLink


@pytest.fixture
def stack():
    with ExitStack() as made:
        yield made


def bridge(stack, *addresses, **parameters):
    return stack.enter_context(Bridge.create(*addresses, **parameters))


def machine(stack, lan, name="node"):
    return stack.enter_context(BoxSpec(hostname=name, link=lan).start())


# Other bridges.


def test_machines_of_two_bridges_reach_each_other_by_a_route(stack):
    left = bridge(stack, "10.77.0.1/24", "fd77::1/64")
    right = bridge(stack, "10.78.0.1/24", "fd78::1/64", beside=left)
    a, b = machine(stack, left), machine(stack, right)
    serve(stack, [b], tells="peer")
    assert ask(a, *b.addresses) == ["-", "-"]
    left.route(right)
    assert ask(a, *b.addresses) == list(a.addresses)
    late = machine(stack, left)
    assert ask(late, *b.addresses) == list(late.addresses)
    assert ask(a, "10.99.0.1", timeout=30) == ["-"]  # still no way out


def test_a_route_goes_through_a_bridge_to_the_next_but_not_by_itself(stack):
    one = bridge(stack, "10.77.0.1/24")
    two = bridge(stack, "10.78.0.1/24", beside=one)
    three = bridge(stack, "10.79.0.1/24", beside=one)
    one.route(two)
    two.route(three)
    a, b, c = machine(stack, one), machine(stack, two), machine(stack, three)
    serve(stack, (b, c), tells="peer")
    assert ask(a, b.address) == [a.address]
    assert ask(b, c.address) == [b.address]
    assert ask(a, c.address, timeout=1) == ["-"]


def test_networks_that_cannot_be_told_apart_have_no_route(stack):
    left, right = bridge(stack, "10.77.0.1/24"), bridge(stack, "10.77.0.1/16")
    with pytest.raises(ValueError, match="overlap"):
        left.route(right)


def test_an_ordinary_users_bridges_must_be_in_one_user_namespace(stack, ordinary_user):
    left, right = bridge(stack, "10.77.0.1/24"), bridge(stack, "10.78.0.1/24")
    with pytest.raises(UnsupportedError, match="beside="):
        left.route(right)


def test_more_machines_than_a_bridge_has_ports_do_not_notice(stack):
    lan = bridge(stack, "10.77.0.1/24", "fd77::1/64")
    lan._switch.capacity = 3  # of the kernel's 1,023
    boxes = tuple(
        stack.enter_context(
            Fleet.start(BoxSpec().replicate(10, hostname="node{index}", link=lan), check=True)
        )
    )
    serve(stack, boxes, tells="peer")
    names = [box.spec.hostname for box in boxes]
    assert "-" not in ask(boxes[0], *names) + ask(boxes[9], *names)
    lan.partition(boxes[:5], boxes[5:])
    assert ask(boxes[0], boxes[4].address) != ["-"]
    assert ask(boxes[0], boxes[9].address, timeout=0.5) == ["-"]
    lan.heal()
    assert ask(boxes[0], boxes[9].address) != ["-"]


# Names beyond the network.


def test_machines_find_the_name_servers_of_their_bridge(stack):
    lan = bridge(stack, "10.77.0.1/24", nameservers=["10.77.0.9", "fd77::9"], search=["lan.test"])
    shown = machine(stack, lan).run(["cat", "/etc/resolv.conf"], capture_output=True, text=True)
    assert shown.stdout == "search lan.test\nnameserver 10.77.0.9\nnameserver fd77::9\n"
    assert os.path.exists(lan.resolv)


@pytest.mark.parametrize(
    "fields",
    [{"nameservers": ["not an address"]}, {"nameservers": "10.0.0.1"}, {"search": ["a b"]}],
)
def test_what_no_resolver_can_have_is_refused(fields):
    with pytest.raises(ValueError, match=r"^(nameservers|search): "):
        Bridge.create("10.77.0.1/24", **fields)


# The host's own wire, on a host that is a namespace.


class Host:
    """A network namespace as a host: a link `wan`, and at its other end a machine far away."""

    def __init__(self, stack):
        self.near = stack.enter_context(Namespace.create(NamespaceType.NET))
        self.far = stack.enter_context(Namespace.create(NamespaceType.NET))
        self.call = self.near.call
        self.call(self._wire)
        self.far.call(ip, "addr add 192.0.2.2/24 dev far")
        self.far.call(ip, "link set far up")
        self.server = stack.enter_context(self.far.call(socket.create_server, ("192.0.2.2", 80)))
        thread = threading.Thread(target=self._answer)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self.server.shutdown, socket.SHUT_RDWR)

    def _wire(self):
        ip(f"link add wan type veth peer name far netns /proc/{os.getpid()}/fd/{self.far.fileno()}")
        ip("addr add 192.0.2.1/24 dev wan")
        ip("link set wan up")

    def _answer(self):
        while True:
            try:
                peer, who = self.server.accept()
            except OSError:
                return
            with peer:
                peer.sendall(who[0].encode())


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


def links():
    return {name for _, name in socket.if_nameindex()}


def forward(value):
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
        file.write(value)


@pytest.fixture
def host(root, stack):
    if shutil.which("ip") is None:
        pytest.skip("needs ip(8) (Debian: iproute2)")
    return Host(stack)


def test_root_has_a_way_out_by_nat_which_goes_with_the_bridge(stack, host):
    before = host.call(links)
    host.call(forward, "1")
    lan = host.call(Bridge.create, "10.77.0.1/24")
    with lan:
        early = machine(stack, lan)
        assert ask(early, "192.0.2.2", timeout=30) == ["-"]
        host.call(lan.uplink)
        with pytest.raises(ValueError, match="already"):
            lan.uplink()
        late = machine(stack, lan)
        for box in (early, late):
            assert ask(box, "192.0.2.2") == ["192.0.2.1"]  # seen as the host
        assert len(host.call(links) - before) == 1
        lan.partition([early], [late])
        assert ask(early, "192.0.2.2") == ["192.0.2.1"]
        if shutil.which("nft"):
            assert f"nsbox-{os.getpid()}" in host.call(tables)
    assert host.call(links) == before
    if shutil.which("nft"):
        assert host.call(tables) == ""


def tables():
    done = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True)
    return done.stdout


def test_the_rule_and_the_wire_of_an_owner_who_is_killed_go_with_it(host, stack):
    if shutil.which("nft") is None:
        pytest.skip("needs nft(8) (Debian: nftables) to look")
    host.call(forward, "1")
    script = (
        "import os, nsbox, signal; from nsbox.network import Bridge\n"
        "lan = Bridge.create('10.77.0.1/24'); lan.uplink()\n"
        "print(lan.hosts, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    before = host.call(links)

    def owner():
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )

    left = host.call(owner).stdout.strip()
    shutil.rmtree(os.path.dirname(left))
    assert host.call(tables) == ""
    until(lambda: host.call(links) == before)


def test_a_host_that_does_not_forward_is_not_made_to(stack, host):
    host.call(forward, "0")
    lan = bridge(stack, "10.77.0.1/24")
    with pytest.raises(UnsupportedError, match="ip_forward=1"):
        host.call(lan.uplink)
    assert host.call(links) == {"lo", "wan"}
    with pytest.raises(ValueError, match=r"^by: "):
        lan.uplink("a miracle")


def test_a_link_of_the_hosts_becomes_a_port(stack, host):
    lan = bridge(stack, "192.0.2.9/24")
    box = machine(stack, lan)
    host.call(lan.adopt, "wan")
    assert host.call(links) == {"lo"}
    assert ask(box, "192.0.2.2") == [box.address]
    with pytest.raises(OSError, match="No such device: 'wan'"):
        host.call(lan.adopt, "wan")


def test_a_mode_that_a_link_has_not_is_refused(host):
    for kind, mode in (("macvlan", "l2"), ("ipvlan", "bridge"), ("ipvlan", "nonsense")):
        with pytest.raises(ValueError, match=f"mode: of {kind} one of"):
            host.call(LowerLink.create, "wan", "192.0.2.9/24", kind=kind, mode=mode)
    with pytest.raises(ValueError, match="kind: one of"):
        host.call(LowerLink.create, "wan", "192.0.2.9/24", kind="veth")


def test_a_bridge_that_adopts_another_bridge_gives_it_back(stack, host):
    lan = bridge(stack, "192.0.2.9/24")
    host.call(subprocess.run, ["ip", "link", "add", "other", "type", "bridge"], check=True)
    with pytest.raises(StepError):
        host.call(lan.adopt, "other")
    assert host.call(links) == {"lo", "wan", "other"}


def test_a_link_that_can_be_no_port_is_given_back_as_it_was(stack, host):
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun: CONFIG_TUN")
    lan = bridge(stack, "10.77.0.1/24")
    host.call(ip, "tuntap add mine mode tun")
    host.call(ip, "addr add 198.51.100.1/24 dev mine")
    host.call(ip, "link set mine up")
    before = host.call(told, "mine")
    with pytest.raises(StepError):
        host.call(lan.adopt, "mine")
    assert host.call(links) == {"lo", "wan", "mine"}
    assert host.call(told, "mine") == before


def test_whoever_has_no_right_to_a_link_is_told_of_the_move(stack, ordinary_user):
    lan = bridge(stack, "10.77.0.1/24")
    with pytest.raises(PermissionError, match="net_ns_fd"):
        lan.adopt("lo")


def told(link):
    """Its index, whether it is up, and its addresses."""
    (shown,) = json.loads(subprocess.check_output(["ip", "-json", "-4", "addr", "show", link]))
    addresses = [(one["local"], one["prefixlen"], one["scope"]) for one in shown["addr_info"]]
    return shown["ifindex"], "UP" in shown["flags"], addresses


def test_boxes_are_on_the_hosts_wire_by_macvlan(stack, host):
    wire = host.call(LowerLink.create, "wan", "192.0.2.9/24")
    stack.enter_context(wire)
    try:
        a, b = machine(stack, wire, "a"), machine(stack, wire, "b")
    except UnsupportedError as error:
        pytest.skip(str(error))
    serve(stack, [b], tells="peer")
    assert ask(a, "192.0.2.2", "b") == [a.address] * 2
    assert [port.name for port in wire.machines] == ["a", "b"]
    assert host.call(links) == {"lo", "wan"}
    a.close()
    assert [port.name for port in wire.machines] == ["b"]


def test_boxes_are_on_the_hosts_wire_by_ipvlan_or_are_told_why_not(stack, host):
    wire = stack.enter_context(host.call(LowerLink.create, "wan", "192.0.2.9/24", kind="ipvlan"))
    try:
        box = machine(stack, wire)
    except UnsupportedError as error:
        assert "CONFIG_IPVLAN" in str(error)  # noqa: PT017
        assert wire.machines == ()
        return
    assert ask(box, "192.0.2.2") == [box.address]


def test_nonsense_is_refused_by_a_link_upon_a_link(host):
    with pytest.raises(OSError, match="no interface"):
        host.call(LowerLink.create, "no-such-link", "192.0.2.9/24")
    with pytest.raises(ValueError, match=r"^kind: "):
        host.call(LowerLink.create, "wan", "192.0.2.9/24", kind="vlan")


# A way out for whoever has no right to one.

OUTSIDE = """
import os, socket, threading
os.system("ip link set lo up && ip addr add 192.0.2.2/32 dev lo")
server = socket.create_server(("192.0.2.2", 80))
def answer():
    while True:
        server.accept()[0].sendall(b"hello")
threading.Thread(target=answer, daemon=True).start()
import nsbox
from nsbox.network import Bridge
with Bridge.create("10.77.0.1/24") as lan:
    lan.uplink("slirp4netns")
    with nsbox.BoxSpec(link=lan).start() as box:
        for command in (ASK, ["cat", "/etc/resolv.conf"]):
            print(box.run(command, capture_output=True, text=True).stdout.strip(), flush=True)
"""


def test_slirp4netns_is_a_way_out_without_rights():
    """The host is the namespaces of one box: in them the program's caller has few rights."""
    missing = [one for one in ("slirp4netns", "unshare", "ip") if shutil.which(one) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: slirp4netns, util-linux, iproute2)")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun: CONFIG_TUN")
    script = f"ASK = {asking('192.0.2.2')!r}\n{OUTSIDE}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["hello", "nameserver 10.0.2.3"], done.stderr


def test_where_slirp4netns_is_missing_the_error_says_how_to_get_it(stack, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    lan = bridge(stack, "10.77.0.1/24")
    with pytest.raises(UnsupportedError, match="apt install slirp4netns"):
        lan.uplink("slirp4netns")
