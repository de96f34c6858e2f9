"""A machine's place on a bridge, and how it is given up."""

import pytest

from nsbox import Namespace, NamespaceType
from nsbox.network.port import Port


def test_a_place_is_given_up_before_its_namespace_is_let_go_of():
    usable = []

    def release(port):
        usable.append(port.namespace.fileno() >= 0)

    port = Port(10, (), None, Namespace.current(NamespaceType.NET), release)
    port.close()
    port.close()
    assert usable == [True]
    with pytest.raises(ValueError, match="closed"):
        port.namespace.fileno()
