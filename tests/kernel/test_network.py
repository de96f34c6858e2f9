"""Machines on a bridge: they reach each other by address and by name, until they are cut off."""

import asyncio
import copy
import errno
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from below import until
from machines import PYTHON, ask, asking, serve

import nsbox
from nsbox import BoxSpec, Mount, NamespaceType, NsboxError, RootFS, StepError, UnsupportedError

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from nsbox.network import Bridge, messages, requests

pytestmark = pytest.mark.usefixtures("root")

SPEC = BoxSpec(hostname="node")


@pytest.fixture
def lan():
    with Bridge.create("10.77.0.1/24", "fd77::1/64") as made:
        yield made


@pytest.fixture
def stack():
    with ExitStack() as made:
        yield made


def start(stack, lan, count, spec=SPEC):
    specs = spec.replicate(count, hostname="node{index}", link=lan)
    return [stack.enter_context(one.start()) for one in specs]


def reaches(one, other):
    # Who was asked for in vain is asked for again after a second: arp(7), retrans_time.
    return ask(one, other.address) != ["-"]


def cut_off(one, other):
    return ask(one, other.address, timeout=0.5) == ["-"]


def links():
    """The links of the host, by the name that each has."""
    return {name for _, name in socket.if_nameindex()}


def test_machines_reach_each_other_by_address_and_by_name(lan, stack):
    machines = start(stack, lan, 3)
    serve(stack, machines)
    names = [machine.spec.hostname for machine in machines]
    for machine in machines:
        assert ask(machine, *names) == names
        for family in (0, 1):
            assert ask(machine, *(other.addresses[family] for other in machines)) == names


def test_a_machine_has_the_next_address_of_each_network(lan, stack):
    a, b = start(stack, lan, 2)
    assert (a.address, a.addresses) == ("10.77.0.2", ("10.77.0.2", "fd77::2"))
    assert b.addresses == ("10.77.0.3", "fd77::3")
    assert [port.addresses for port in lan.machines] == [a.addresses, b.addresses]
    with BoxSpec().start() as alone:
        assert (alone.address, alone.addresses) == (None, ())


def test_a_box_for_one_command_is_on_the_network_too(lan, stack):
    serve(stack, start(stack, lan, 1))
    done = nsbox.run(asking("node0"), BoxSpec(link=lan), capture_output=True, text=True)
    assert done.stdout == "node0\n"
    assert len(lan.machines) == 1


def test_a_machine_that_comes_or_goes_is_known_to_those_that_run(lan, stack):
    (first,) = start(stack, lan, 1)
    with BoxSpec(hostname="late", link=lan).start() as late:
        found = first.run(
            ["getent", "ahosts", "late"], capture_output=True, text=True
        ).stdout.split()
        assert set(late.addresses) <= set(found)
    assert first.run(["getent", "hosts", "late"]).returncode == 2


def test_a_machine_cannot_change_the_names(lan, stack):
    (machine,) = start(stack, lan, 1)
    done = machine.run(
        ["sh", "-c", "echo 10.77.0.9 evil >> /etc/hosts"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "evil" not in Path(lan.hosts).read_text()


def test_what_a_root_mounts_as_its_hosts_stays(lan):
    root = RootFS.system().with_mounts(Mount.file("/etc/hosts", "mine\n"))
    done = nsbox.run(
        ["cat", "/etc/hosts"], BoxSpec(rootfs=root, link=lan), capture_output=True, text=True
    )
    assert done.stdout == "mine\n"


def test_what_is_on_no_network_is_unreachable_at_once(lan, stack):
    (machine,) = start(stack, lan, 1)
    began = time.monotonic()
    assert ask(machine, "192.0.2.1", "2001:db8::1", timeout=30) == ["-", "-"]
    assert time.monotonic() - began < 15


def test_a_machine_in_a_user_namespace_of_its_own_is_on_the_network_too(lan, stack):
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.USER: nsbox.Choice.NEW})
    machines = start(stack, lan, 2, spec)
    serve(stack, machines[:1], port=8000)
    assert ask(machines[1], "node0", port=8000) == ["node0"]


def test_a_cut_parts_the_groups_and_heals(lan, stack):
    a, b, c, both = machines = start(stack, lan, 4)
    serve(stack, machines)
    assert reaches(a, c)
    lan.partition([a, b], [c])
    assert cut_off(a, c)
    assert cut_off(c, b)
    assert reaches(a, b)
    for machine in (a, b, c):
        assert reaches(machine, both)
        assert reaches(both, machine)
    lan.heal()
    assert all(reaches(c, machine) for machine in machines)


def test_a_cut_takes_the_place_of_the_one_before(lan, stack):
    a, b, c = machines = start(stack, lan, 3)
    serve(stack, machines)
    lan.partition([a], [b, c])
    lan.partition([a, c.address], [lan.machines[1]])
    assert reaches(a, c)
    assert cut_off(c, b)
    lan.partition([a], [b], [c])
    assert cut_off(a, b)
    assert cut_off(b, c)
    assert cut_off(c, a)


def test_a_connection_lives_through_a_cut(lan, stack):
    a, b = start(stack, lan, 2)
    server = (
        "import socket; s = socket.create_server(('', 80)); print('ready', flush=True); "
        "peer, _ = s.accept(); print(peer.recv(9).decode(), flush=True); print(peer.recv(9).decode(), flush=True)"
    )
    client = "import socket, sys; s = socket.create_connection((sys.argv[1], 80)); print('on', flush=True); [s.sendall(l.strip().encode()) for l in sys.stdin]"
    waiting = stack.enter_context(b.popen([*PYTHON, server], stdout=nsbox.PIPE, text=True))
    assert waiting.stdout.readline() == "ready\n"
    sending = stack.enter_context(
        a.popen(
            [*PYTHON, client, b.address],
            stdin=nsbox.PIPE,
            stdout=nsbox.PIPE,
            text=True,
            encoding="utf-8",
        )
    )
    assert sending.stdout.readline() == "on\n"
    lan.partition([a], [b])
    sending.stdin.write("hello\n")
    sending.stdin.flush()
    sending.stdin.close()
    time.sleep(0.3)
    lan.heal()
    assert waiting.stdout.readline() == "hello\n"


def test_a_cut_of_what_cannot_be_is_refused_and_changes_nothing(lan, stack):
    a, b = machines = start(stack, lan, 2)
    serve(stack, machines)
    with pytest.raises(ValueError, match="one side"):
        lan.partition([a], [a, b])
    with pytest.raises(ValueError, match="not on"):
        lan.partition([a], ["10.77.0.99"])
    assert reaches(a, b)


def test_a_cut_goes_by_machines_that_have_died(lan, stack):
    a, b, c = machines = start(stack, lan, 3)
    serve(stack, machines)
    os.kill(b.pid, signal.SIGKILL)
    until(lambda: cut_off(a, b))
    time.sleep(0.2)
    lan.partition([a, b], [c])
    assert cut_off(a, c)


def test_a_pulled_plug_is_one_without_a_carrier(lan, stack):
    a, b = machines = start(stack, lan, 2)
    serve(stack, machines)
    lan.down(b)
    assert cut_off(a, b)
    assert (
        "LOWER_UP"
        not in b.run(["ip", "link", "show", "eth0"], capture_output=True, text=True).stdout
    )
    lan.up(b)
    assert ask(a, b.address) == ["node1"]


def test_counters_tell_what_has_passed(lan, stack):
    a, b = start(stack, lan, 2)
    script = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(bytes(1000), ('10.77.0.3', 9)) for _ in range(20)]"
    before = lan.counters(b)
    a.run([*PYTHON, script], check=True)

    def all_passed():
        now = lan.counters(b)
        return now.rx_bytes >= before.rx_bytes + 20_000 and now.rx_packets >= before.rx_packets + 20

    until(all_passed)  # what has waited for the other's address comes a moment later
    assert lan.counters(b).rx_bytes - before.rx_bytes < 40_000
    assert lan.counters(a).tx_bytes >= 20_000


def has_netem(lan, machine):
    try:
        lan.impair(machine, loss=1)
    except UnsupportedError as error:
        assert "CONFIG_NET_SCH_NETEM" in str(error)  # noqa: PT017
        return False
    return True


def test_delay_and_loss_take_netem_or_say_so(lan, stack):
    a, b = machines = start(stack, lan, 2)
    serve(stack, machines)
    lan.impair(b)  # there is nothing to be undone
    assert reaches(a, b)
    if has_netem(lan, b):
        assert cut_off(a, b)
        lan.impair(b, delay=0.2)
        began = time.monotonic()
        assert reaches(a, b)
        assert time.monotonic() - began > 0.2
        lan.impair(b)
    assert reaches(a, b)


@pytest.mark.parametrize("fields", [{"delay": -1}, {"loss": 2}, {"jitter": float("nan")}])
def test_what_no_link_can_have_is_refused(lan, fields):
    with pytest.raises(ValueError, match="seconds"):
        lan.impair("10.77.0.2", **fields)


def test_none_of_it_is_among_the_links_of_the_host(stack):
    before = links()
    with Bridge.create("10.77.0.1/24") as lan:
        start(stack, lan, 2)
        assert links() == before


def test_nothing_is_left_when_a_bridge_is_closed(stack):
    with Bridge.create("10.77.0.1/24") as lan:
        (machine,) = start(stack, lan, 1)
        switch = lan.namespace.inode
        hosts = Path(lan.hosts).parent
        assert hosts.exists()
    assert not hosts.exists()
    look = ["cat", "/proc/net/dev"]
    until(lambda: "eth0" not in machine.run(look, capture_output=True, text=True).stdout)
    # At once; but its number may be another's on this host, for a while.
    until(lambda: switch not in {namespace.inode for namespace in nsbox.namespaces()})
    machine.close()
    lan.close()


def test_an_address_is_free_again_when_its_machine_has_ended():
    with Bridge.create("10.77.0.1/30") as small:
        first = BoxSpec(link=small).start()
        with first, pytest.raises(NsboxError, match="no address left"):
            BoxSpec(link=small).start()
        with BoxSpec(link=small).start() as second:
            assert second.address == first.address
        assert small.machines == ()


def test_a_start_that_fails_gives_its_place_back(lan):
    with pytest.raises(FileNotFoundError):
        nsbox.run(["/no/such/program"], BoxSpec(link=lan, hostname="lost"))
    assert lan.machines == ()
    assert "lost" not in [
        line.split()[1] for line in Path(lan.hosts).read_text().splitlines() if line[0] != "#"
    ]


def test_two_bridges_do_not_know_of_each_other(lan, stack):
    with Bridge.create("10.77.0.1/24") as other:
        (a,) = start(stack, lan, 1)
        with BoxSpec(link=other, hostname="elsewhere").start() as b:
            serve(stack, [b])
            assert a.address == b.address
            assert ask(a, "elsewhere", "10.77.0.1", timeout=0.3) == ["-", "-"]


def test_it_works_inside_a_running_event_loop(stack):
    async def main():
        with Bridge.create("10.77.0.1/24") as lan:
            machines = start(stack, lan, 2)
            lan.partition([machines[0]], [machines[1]])
            lan.heal()
            serve(stack, machines)
            assert ask(machines[0], "node1") == ["node1"]
            done = await nsbox.aio.run(asking("node1"), BoxSpec(link=lan), capture_output=True)
            assert done.stdout == b"node1\n"

    asyncio.run(main())


def test_machines_start_from_many_threads(lan, stack):
    started, lock = [], threading.Lock()

    def one(index):
        box = BoxSpec(hostname=f"t{index}", link=lan).start()
        with lock:
            started.append(stack.enter_context(box))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({box.address for box in started}) == 6


def test_the_owner_can_look_at_a_bridge_from_within(lan):
    names = lan.namespace.call(lambda: [name for _, name in socket.if_nameindex()])
    assert names == ["lo", "br10"]


def test_a_bridge_and_a_port_do_not_travel(lan, stack):
    (machine,) = start(stack, lan, 1)
    for live in (lan, machine.spec, lan.machines[0]):
        with pytest.raises(TypeError, match="is a live handle"):
            pickle.dumps(live)
    assert copy.copy(machine.spec) == machine.spec
    assert hash(machine.spec) == hash(machine.spec)


def test_a_closed_bridge_takes_nobody():
    lan = Bridge.create("10.77.0.1/24")
    lan.close()
    for ask_it in (
        lan.connect,
        lan.heal,
        lambda: BoxSpec(link=lan).start(),
        lambda: lan.up("10.77.0.2"),
    ):
        with pytest.raises(ValueError, match="is closed"):
            ask_it()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_a_fork_that_closes_a_bridge_leaves_it_to_its_starter(lan, stack):
    a, b = machines = start(stack, lan, 2)
    serve(stack, machines)
    child = os.fork()
    if child == 0:
        lan.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert reaches(a, b)
    lan.partition([a], [b])
    assert cut_off(a, b)


def test_a_forgotten_bridge_warns_and_goes():
    def forget():
        Bridge.create("10.77.0.1/24")
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"10\.77\.0\.1/24> was not closed"):
        forget()


def test_a_request_that_the_kernel_refuses_tells_which(lan):
    from nsbox.network import requests

    with pytest.raises(StepError) as caught:
        lan._netlink.send([requests.up(10), requests.up(99)])
    assert caught.value.errno == errno.ENODEV
    assert caught.value.index == 1
    assert "RTM_SETLINK(index=99, state='up')" in str(caught.value)
    assert "rtnetlink(7)" in str(caught.value)


def test_without_pyroute2_the_error_says_how_to_get_it():
    script = (
        "import sys; sys.modules['pyroute2'] = None; import nsbox\n"
        "try: nsbox.network.Bridge.create('10.77.0.1/24')\n"
        "except nsbox.UnsupportedError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install nsbox[net]" in done.stdout
    assert done.stderr == ""


def test_the_plan_of_a_linked_box_shows_what_it_joins(lan):
    text = str(BoxSpec(link=lan).plan(["true"]))
    assert 'setns(ns_net<"nsfs/net of the link">, CLONE_NEWNET)' in text
    assert lan.hosts in text
    assert lan.machines == ()


def test_a_machine_cannot_change_its_link(lan):
    done = nsbox.run(["ip", "link", "set", "eth0", "down"], BoxSpec(link=lan), capture_output=True)
    assert b"not permitted" in done.stderr


def test_a_hundred_machines_are_known_to_one_by_name():
    with Bridge.create("10.77.0.1/22") as lan, ExitStack() as stack:
        machines = start(stack, lan, 100)
        serve(stack, machines[::5])
        names = [machine.spec.hostname for machine in machines[::5]]
        assert ask(machines[50], *names) == names
        lan.partition(machines[:50], machines[50:])
        assert reaches(machines[50], machines[95])
        assert cut_off(machines[50], machines[0])


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next():
    def ask():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0) as sock:
            sock.send(messages.encode(requests.up(9999), 1))
            loopback = requests.up(socket.if_nametoindex("lo"))
            return [messages.send(sock, [messages.encode(loopback, 2)]) for _ in range(2)]

    with nsbox.Namespace.create(NamespaceType.NET) as elsewhere:
        assert elsewhere.call(ask) == [[0], [0]]
