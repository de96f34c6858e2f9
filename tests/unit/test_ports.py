"""The field `ports`: which of the host's lead to which of the box's."""

import pickle

import pytest

from nsbox import ISOLATED, BoxSpec, Choice, NamespaceType


def test_ports_are_pairs_however_they_are_written():
    assert BoxSpec(ports={8080: 80, 0: 443}).ports == ((8080, 80), (0, 443))
    assert BoxSpec(ports=[80, 443]).ports == ((0, 80), (0, 443))
    assert BoxSpec(ports=[(8080, 80), 443]).ports == ((8080, 80), (0, 443))
    assert BoxSpec().ports == ()


def test_a_spec_with_ports_is_a_value():
    spec = BoxSpec(ports={8080: 80})
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(BoxSpec(ports=[(8080, 80)]))
    assert [one.ports for one in BoxSpec().replicate(2, ports=[80])] == [((0, 80),)] * 2


@pytest.mark.parametrize(
    "ports",
    [80, "80", b"80", [0], [65536], {-1: 80}, {True: 80}, {"8080": 80}, [80, 80], [(1, 2, 3)]],
)
def test_nonsense_is_refused(ports):
    with pytest.raises(ValueError, match=r"^ports: "):
        BoxSpec(ports=ports)


def test_one_port_of_the_host_leads_to_one_box():
    with pytest.raises(ValueError, match="each once"):
        BoxSpec(ports=[(8080, 80), (8080, 81)])


def test_the_hosts_own_network_has_no_use_for_them():
    for kinds in ({NamespaceType.MNT: Choice.NEW}, ISOLATED | {NamespaceType.NET: Choice.HOST}):
        with pytest.raises(ValueError, match=r"^ports: the host's"):
            BoxSpec(ports=[80], namespaces=kinds)
