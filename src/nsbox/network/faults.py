"""What can happen to a network: cuts, pulled plugs, packets late or lost; what has passed it."""

import errno
from collections.abc import Callable, Container, Iterable
from typing import Protocol

from nsbox.errors import StepError, UnsupportedError
from nsbox.network import requests
from nsbox.network.places import Places
from nsbox.network.port import Counters, Port
from nsbox.network.switch import Switch


class HasAddress(Protocol):
    """A box or a port: anything that is known by an address."""

    @property
    def address(self) -> str | None:
        """Its address, None where it has none."""


Machine = HasAddress | str
"""A machine of a bridge: its box, its port, or an address of it."""

_GONE = frozenset({errno.ENODEV})
"""The answer for a machine that has ended, and taken its link along."""

_UNIMPAIRED = frozenset({errno.ENOENT, errno.EINVAL})
"""The answers where nothing is to be undone."""


class Faults(Places):
    """The part of a `Bridge` that makes trouble."""

    _switch: Switch

    def partition(self, *groups: Iterable[Machine]) -> None:
        """Cut it: no machine of one group reaches one of another any longer.

        A machine in none of the groups reaches all, and so does the bridge itself. Takes the place
        of the cut before. What was sent and not received yet may still arrive. Raises `ValueError`
        for a machine that is in two groups, or is not on this bridge.
        """
        with self._lock:
            self._check_open()
            ports = [list(dict.fromkeys(map(self._port, group))) for group in groups]
            once: set[Port] = set()
            for group in ports:
                if not once.isdisjoint(group):
                    raise ValueError("groups: a machine can be on one side of a cut only")
                once.update(group)
            moved = self._switch.partition([[port.index for port in group] for group in ports])
            self._netlink.send(moved, ignored=_GONE)

    def heal(self) -> None:
        """Undo `partition`: all machines reach each other again, as far as their links are up."""
        self.partition()

    def down(self, machine: Machine) -> None:
        """Pull the plug of a machine: its link is there, without a carrier."""
        self._ask(machine, requests.down)

    def up(self, machine: Machine) -> None:
        """Undo `down`."""
        self._ask(machine, requests.up)

    def impair(
        self, machine: Machine, *, delay: float = 0, jitter: float = 0, loss: float = 0
    ) -> None:
        """Have what is sent to a machine come late, or not at all.

        `delay` and `jitter` are seconds, `loss` is a share from 0 to 1; with none of them the link
        is as it was. Raises `UnsupportedError` where the kernel has no netem, and `ValueError` for
        what no link can have. See tc-netem(8).
        """
        if not (delay >= 0 and jitter >= 0 and 0 <= loss <= 1):
            raise ValueError(
                f"delay, jitter, loss: seconds, seconds, and a share from 0 to 1, not "
                f"{delay!r}, {jitter!r}, {loss!r}"
            )
        if not (delay or jitter or loss):
            self._ask(machine, requests.repair, ignored=_UNIMPAIRED)
            return
        try:
            self._ask(machine, lambda index: requests.impair(index, delay, jitter, loss))
        except StepError as error:
            if not requests.is_missing(error.errno):
                raise
            raise UnsupportedError(
                "delay, jitter, loss: this kernel has no netem: CONFIG_NET_SCH_NETEM, or "
                "`modprobe sch_netem`"
            ) from None

    def counters(self, machine: Machine) -> Counters:
        """Read what has passed a machine's link. See rtnetlink(7), IFLA_STATS64."""
        with self._lock:
            self._check_open()
            told = self._netlink.link(self._port(machine).index).get_attr("IFLA_STATS64")
        # What its end of the wire sends the machine receives.
        return Counters(
            rx_bytes=told["tx_bytes"],
            rx_packets=told["tx_packets"],
            rx_dropped=told["tx_dropped"],
            tx_bytes=told["rx_bytes"],
            tx_packets=told["rx_packets"],
            tx_dropped=told["rx_dropped"],
        )

    def _ask(
        self,
        machine: Machine,
        request: Callable[[int], requests.Request],
        ignored: Container[int] = (),
    ) -> None:
        with self._lock:
            self._check_open()
            self._netlink.send([request(self._port(machine).index)], ignored=ignored)

    def _port(self, machine: Machine) -> Port:
        address = machine if isinstance(machine, str) else machine.address
        port = self._ports.get(address or "")
        if port is None:
            raise ValueError(f"machine: {machine!r} is not on {self!r}")
        return port
