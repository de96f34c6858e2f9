"""Which bridge a port is on: held against a model of what bridges forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.network.addresses import interface
from nsbox.network.switch import Switch


class Wires:
    """What the requests come to: who is on which bridge, and which bridges are joined how."""

    def __init__(self, switch):
        self.master = {}
        self.peers = {}
        self.isolated = set()
        self.switch = switch
        self.apply(switch.begin([interface("10.0.0.1/24")]))

    def apply(self, requests):
        for request in requests:
            arguments = request.arguments
            if arguments.get("kind") == "veth":
                other = arguments["peer"]["index"]
                self.peers[arguments["index"]] = other
                self.peers[other] = arguments["index"]
            if arguments.get("isolated"):
                self.isolated.add(arguments["index"])
            if "master" in arguments:
                self.master[arguments["index"]] = arguments["master"]

    def add(self):
        index, bridge, made = self.switch.join()
        self.apply(made)
        self.master[index] = bridge
        return index

    def reached(self, start):
        """Flood a frame from a port, as bridges do: never from an isolated port to another."""
        found, queue = set(), [start]
        while queue:
            port = queue.pop()
            for other, bridge in self.master.items():
                if other == port or bridge != self.master[port]:
                    continue
                if port in self.isolated and other in self.isolated:
                    continue
                if other in self.peers:
                    queue.append(self.peers[other])
                else:
                    found.add(other)
        return found - {start}


@given(
    count=st.integers(2, 12),
    capacity=st.integers(1, 5),
    cuts=st.lists(st.lists(st.integers(-1, 3), min_size=12, max_size=12), max_size=3),
)
def test_groups_reach_themselves_and_the_ungrouped_and_no_other_group(count, capacity, cuts):
    switch = Switch(capacity)
    wires = Wires(switch)
    ports = [wires.add() for _ in range(count)]
    for sides in [*cuts, [-1] * 12]:
        side = dict(zip(ports, sides, strict=False))
        groups = [[port for port in ports if side[port] == number] for number in range(4)]
        wires.apply(switch.partition(groups))
        for port in ports:
            expected = {
                other
                for other in ports
                if other != port and (side[other] == side[port] or -1 in (side[other], side[port]))
            }
            assert wires.reached(port) == expected


def test_a_bridge_that_is_full_gets_another_below_it():
    switch = Switch(capacity=2)
    wires = Wires(switch)
    ports = [wires.add() for _ in range(7)]
    assert len({wires.master[port] for port in ports}) == 4
    assert wires.reached(ports[6]) == set(ports[:6])


def test_a_place_that_was_left_is_taken_again():
    switch = Switch(capacity=1)
    wires = Wires(switch)
    first = wires.add()
    switch.leave(first)
    del wires.master[first]
    wires.add()
    assert len(switch.main.machines) == 1


def test_only_those_who_change_sides_are_moved():
    switch = Switch()
    wires = Wires(switch)
    a, b, c = (wires.add() for _ in range(3))
    wires.apply(switch.partition([[a], [b, c]]))
    moved = [
        r.arguments["index"] for r in switch.partition([[a, c], [b]]) if "master" in r.arguments
    ]
    assert moved == [c]


def test_healing_what_is_whole_asks_nothing_of_the_kernel():
    switch = Switch()
    Wires(switch).add()
    assert list(switch.partition([])) == []


@pytest.mark.parametrize("count", [1, 3])
def test_no_index_of_a_link_is_given_twice(count):
    switch = Switch(capacity=1)
    requests = list(switch.begin([interface("fd77::1/64")]))
    for _ in range(count):
        requests += switch.join()[2]
    made = [r.arguments["index"] for r in requests if r.message == "RTM_NEWLINK"]
    assert len(made) == len(set(made))
