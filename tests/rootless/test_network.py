"""A network of an ordinary user's: all of it in one user namespace, no right needed."""

import os
from contextlib import ExitStack

import pytest
from machines import ask, serve

from nsbox import ISOLATED, BoxSpec, Choice, NamespaceType, UnsupportedError

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from nsbox.network import Bridge

pytestmark = pytest.mark.usefixtures("ordinary_user")


def test_machines_reach_each_other_until_they_are_cut_off() -> None:
    with Bridge.create("10.77.0.1/24", "fd77::1/64") as lan, ExitStack() as stack:
        specs = BoxSpec().replicate(3, hostname="node{index}", link=lan)
        a, b, c = (stack.enter_context(spec.start()) for spec in specs)
        serve(stack, [b])
        assert ask(a, "node1") == ask(c, str(b.address)) == ["node1"]
        lan.partition([a], [b, c])
        assert ask(a, "node1", timeout=0.5) == ["-"]
        assert ask(c, "node1") == ["node1"]
        lan.heal()
        assert ask(a, "node1") == ["node1"]
        assert lan.counters(b).rx_bytes > 0


def test_all_machines_are_in_the_user_namespace_of_the_bridge() -> None:
    with Bridge.create("10.77.0.1/24") as lan:
        owner = lan.namespace.user_namespace
        assert str(owner) != os.readlink("/proc/self/ns/user")
        with BoxSpec(link=lan).start() as one, BoxSpec(link=lan).start() as other:
            for box in (one, other):
                shown = box.run(["readlink", "/proc/self/ns/user"], capture_output=True, text=True)
                assert shown.stdout.strip() == str(owner)


def test_a_box_that_could_trace_the_next_ones_start_is_refused() -> None:
    spec_of_host = ISOLATED | {NamespaceType.PID: Choice.HOST}
    with Bridge.create("10.77.0.1/24") as lan:
        with pytest.raises(UnsupportedError, match="pid namespace"):
            BoxSpec(link=lan, namespaces=spec_of_host).start()
        assert lan.machines == ()


def test_a_user_namespace_of_its_own_has_no_rights_to_the_network() -> None:
    kinds = ISOLATED | {NamespaceType.USER: Choice.NEW}
    with Bridge.create("10.77.0.1/24") as lan:
        with pytest.raises(UnsupportedError, match="no rights there"):
            BoxSpec(link=lan, namespaces=kinds).start()
        assert lan.machines == ()
