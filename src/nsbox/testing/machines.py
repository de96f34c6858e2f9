"""Machines on a network of a test's own."""

import contextlib
from typing import Any, Literal

import pytest

from nsbox.box import Box
from nsbox.namespace import NamespaceType
from nsbox.network import Bridge
from nsbox.spec import BoxSpec
from nsbox.testing.boxes import Boxes
from nsbox.testing.skipping import needed_for_namespaces, skipped_where_missing

NETWORK = "10.77.0.1/24"


class Machines:
    """The machines of one test: call it for some of them; `network` is the bridge that they are on.

    The bridge is made with the first of them, or when it is first asked for.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._name = item.name
        self._boxes = Boxes(item)
        self._stack = contextlib.ExitStack()
        self._network: Bridge | None = None

    @property
    def network(self) -> Bridge:
        """The bridge: partitioned, impaired and counted by the test as it likes."""
        if self._network is None:
            with skipped_where_missing(needed_for_namespaces((NamespaceType.NET,))):
                self._network = self._stack.enter_context(Bridge.create(NETWORK))
        return self._network

    def __call__(self, count: int, spec: BoxSpec | None = None, **fields: Any) -> list[Box]:
        """Start machines: of a spec, some of whose fields may be given; see `BoxSpec.replicate`."""
        __tracebackhide__ = True
        wanted = {"hostname": "node{index}", "link": self.network, **fields}
        return [self._boxes.start(one) for one in (spec or BoxSpec()).replicate(count, **wanted)]

    def __repr__(self) -> str:
        return f"<Machines of {self._name}>"

    def __enter__(self) -> "Machines":
        self._stack.enter_context(self._boxes)
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._boxes.__exit__()
        self._stack.close()
        return False
