"""Which bridge of a namespace a port is on: bookkeeping, lowered to requests.

One bridge of the kernel takes 1,023 ports; a segment is a tree of them, and everything on it
reaches everything. There is one *main* segment. A cut puts each of its groups on a segment of its
own, joined to the main one by a wire whose port there is isolated: what is on the main segment
reaches all groups, and no group another. That needs no packet filter, of which many a kernel has
none that an ordinary user may use.
"""

import itertools
from collections.abc import Iterator, Sequence

import attrs

from nsbox.network import requests
from nsbox.network.addresses import Interface
from nsbox.network.requests import FIRST_INDEX, Request

MAX_PORTS = 1023
"""BR_MAX_PORTS of the kernel; port numbers have ten bits, and 0 is none."""

RESERVED = 23
"""Ports of a segment's first bridge that are kept for wires to others."""


@attrs.define(eq=False)
class Segment:
    """Bridges that are joined: the first, others beneath it, and how many ports each has."""

    first: int
    machines: dict[int, int] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Switch:
    """All bridges of one namespace. Its methods return what is to be asked of the kernel."""

    capacity: int = MAX_PORTS - RESERVED
    places: dict[int, tuple[Segment, int]] = attrs.field(factory=dict)
    cut: list[Segment] = attrs.field(factory=list)
    trunks: list[int] = attrs.field(factory=list)
    main: Segment = attrs.field(init=False)
    _indexes: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(FIRST_INDEX))

    def begin(self, addresses: Sequence[Interface]) -> Iterator[Request]:
        """Make the main segment, whose first bridge has these addresses."""
        index = next(self._indexes)
        self.main = Segment(index, {index: 0})
        yield from requests.bridge(index, addresses)

    def join(self) -> tuple[int, int, list[Request]]:
        """Find a place for a new port: its index, its bridge, and what makes that one."""
        index = next(self._indexes)
        bridge, made = self._room(self.main)
        self._put(index, self.main, bridge)
        return index, bridge, made

    def reserve(self) -> int:
        """Return an index for a link that is no port of a bridge."""
        return next(self._indexes)

    def leave(self, index: int) -> None:
        """Forget a port; its link goes with the namespace of its machine."""
        segment, bridge = self.places.pop(index)
        segment.machines[bridge] -= 1

    def partition(self, groups: Sequence[Sequence[int]]) -> Iterator[Request]:
        """Put the ports of each group on a segment of its own, and all others on the main one.

        Only those that are elsewhere move; each leaves the old place as it gets to the new one.
        """
        grouped = {index for group in groups for index in group}
        while len(self.cut) < len(groups):
            yield from self._cut_off()
        for number, segment in enumerate(self.cut):
            for index in groups[number] if number < len(groups) else ():
                yield from self._move(index, segment)
        for index in [index for index in self.places if index not in grouped]:
            yield from self._move(index, self.main)
        for trunk in self.trunks:  # the bridges remember who was where
            yield requests.forget(trunk)
            yield requests.forget(trunk + 1)

    def _move(self, index: int, segment: Segment) -> Iterator[Request]:
        if self.places[index][0] is segment:
            return
        bridge, made = self._room(segment)
        yield from made
        self.leave(index)
        self._put(index, segment, bridge)
        yield requests.move(index, bridge)

    def _cut_off(self) -> Iterator[Request]:
        bridge = next(self._indexes)
        self.cut.append(Segment(bridge, {bridge: 0}))
        yield from self._below(self.main, bridge, isolated=True)

    def _room(self, segment: Segment) -> tuple[int, list[Request]]:
        """Find a bridge of a segment that has room, or add one."""
        for bridge, machines in segment.machines.items():
            if machines < self.capacity:
                return bridge, []
        bridge = next(self._indexes)
        segment.machines[bridge] = 0
        return bridge, list(self._below(segment, bridge, isolated=False))

    def _below(self, segment: Segment, bridge: int, *, isolated: bool) -> Iterator[Request]:
        """Make a bridge, and a wire with an end in it and one in a segment's first bridge."""
        trunk, _ = next(self._indexes), next(self._indexes)
        self.trunks.append(trunk)
        yield from requests.bridge(bridge)
        yield from requests.trunk(trunk, bridge, segment.first, isolated=isolated)

    def _put(self, index: int, segment: Segment, bridge: int) -> None:
        self.places[index] = segment, bridge
        segment.machines[bridge] += 1
