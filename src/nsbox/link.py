"""What a box can be linked to, as far as its start needs to know; see `nsbox.network`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from nsbox.caller import Caller
from nsbox.errors import UnsupportedError
from nsbox.namespace import Choice, Namespace, NamespaceType
from nsbox.rootfs import Mount

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec

HOSTS = "/etc/hosts"
RESOLV = "/etc/resolv.conf"

_UNNAMED = "nsfs/net of the link"
"""How a plan shows the network namespace: each box has another, and one plan does for all."""


class Port(Protocol):
    """A box's place on what it is linked to."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses."""

    @property
    def namespace(self) -> Namespace:
        """The network namespace in which its link is, for the box to join."""

    def close(self) -> None:
        """Give it up."""


class Publication(Protocol):
    """Ports of a box that the host's loopback shows: see `nsbox.publish`."""

    @property
    def ports(self) -> Mapping[int, int]:
        """Those of the host's, by the box's."""

    def serve(self, pidfd: int) -> None:
        """Serve them until the box of this first process ends."""

    def close(self) -> None:
        """Let go of them."""


@runtime_checkable
class Link(Protocol):
    """What gives a box its place on a network."""

    @property
    def hosts(self) -> str:
        """The path of a hosts(5) file for all on it; `ValueError` where it is closed."""

    @property
    def resolv(self) -> str | None:
        """The path of a resolv.conf(5) for all on it, if it has one."""

    def connect(self, name: str | None = None) -> Port:
        """Make a place for a box that is about to start."""


def check_link(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse what gives no place on a network."""
    if value is not None and (isinstance(value, type) or not isinstance(value, Link)):
        raise ValueError(f"{attribute.name}: a Bridge of nsbox.network, not {value!r}")


def unlinked(spec: "BoxSpec", namespace: Namespace | str = _UNNAMED) -> "BoxSpec":
    """Return what a spec with a link comes to: a box that joins a network namespace.

    Its names are in its /etc/hosts, unless its root has one mounted, or is not its own.
    """
    if spec.link is None:
        return spec
    rootfs = spec.rootfs
    own_mounts = spec.namespaces.get(NamespaceType.MNT) is Choice.NEW
    for source, target in ((spec.link.hosts, HOSTS), (spec.link.resolv, RESOLV)):
        if own_mounts and source and all(mount.target != target for mount in rootfs.mounts):
            rootfs = rootfs.with_mounts(Mount.bind(source, target, readonly=True))
    namespaces = spec.namespaces | {NamespaceType.NET: namespace}
    return attrs.evolve(spec, namespaces=namespaces, rootfs=rootfs, link=None)


def connected(spec: "BoxSpec") -> Port | None:
    """Make the place for a box that is about to start, if it is to be linked."""
    if spec.link is None:
        return None
    check_tracing(spec, "link")
    return spec.link.connect(spec.hostname)


def check_tracing(spec: "BoxSpec", field: str) -> None:
    """Refuse a box that could trace what enters its user namespace for the sake of its network.

    Raises `UnsupportedError`: an ordinary user's boxes are in a user namespace with all rights
    there, and what makes the next machine, or a socket, is in it for a moment.
    """
    if spec.namespaces.get(NamespaceType.PID) is not Choice.NEW and not Caller.current().privileged:
        raise UnsupportedError(
            f"{field}: without CAP_SYS_ADMIN it takes a pid namespace that is Choice.NEW"
        )
