"""A machine's place on a bridge."""

from collections.abc import Callable
from typing import Any

import attrs

from nsbox.namespace import Namespace
from nsbox.network.addresses import Interface


@attrs.frozen(kw_only=True)
class Counters:
    """What has passed a machine's link, as the machine sees it."""

    rx_bytes: int
    rx_packets: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_dropped: int


class Port:
    """A machine's place on a bridge: its addresses, its name, its network namespace.

    Made when a box is started from a spec with a `link`, and given up when the box ends.
    """

    def __init__(
        self,
        index: int,
        interfaces: tuple[Interface, ...],
        name: str | None,
        namespace: Namespace,
        release: Callable[["Port"], None],
    ) -> None:
        self.index = index
        self.interfaces = interfaces
        self.name = name
        self.namespace = namespace
        self._release: Callable[[Port], None] | None = release

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, one of each network of the bridge, without the prefix."""
        return tuple(str(interface.ip) for interface in self.interfaces)

    @property
    def address(self) -> str:
        """The first of its addresses."""
        return self.addresses[0]

    def close(self) -> None:
        """Give it up: its addresses are free again. Twice is harmless."""
        release, self._release = self._release, None
        try:  # first: whoever finds it among the machines enters its namespace
            if release is not None:
                release(self)
        finally:
            self.namespace.close()

    def __repr__(self) -> str:
        return f"<Port {self.name or 'without a name'} {' '.join(self.addresses)}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Port is a live handle; pickle the BoxSpec without its link instead")
