"""Network namespaces with a netlink socket in each: of a bridge, and of the machines on it.

A child makes one and hands over a socket that it opens there; the socket tells the namespace. An
ordinary user's are in one user namespace, that of the bridge. Its maker has all rights there from
outside, too (user_namespaces(7), "Capabilities"), but for being in it, which takes the child.
"""

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping

import attrs

from nsbox._native import Launched
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import CloneFlag
from nsbox.namespace import IDMap, Namespace, NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.perform import perform
from nsbox.plan import Slot, Step

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_SIOCGSKNS = 0x894C  # linux/sockios.h: the network namespace of a socket


@attrs.frozen
class Network:
    """A network namespace, and the descriptor of a netlink socket in it; the owner closes both."""

    namespace: Namespace
    socket: int


def create(owner: Namespace | None = None) -> Network:
    """Make a network namespace whose loopback link is up.

    A caller without CAP_SYS_ADMIN has it in a new user namespace, as root of it, or in `owner`.
    Raises `StepError` for the step that failed.
    """
    steps = list(_steps(Caller.current(), owner))
    given: dict[int, int] = {} if owner is None else {Slot.NS_USER: owner.fileno()}
    made = perform(steps, given).take_descriptor()
    try:
        fd = fcntl.ioctl(made, _SIOCGSKNS)
        try:
            return Network(Namespace.open(fd), made)
        finally:
            os.close(fd)
    except BaseException:
        os.close(made)
        raise


def _steps(caller: Caller, owner: Namespace | None) -> Iterator[Step]:
    if owner is not None:
        yield Step(Operation.CLONE3, (CloneFlag(0),))
        yield Step(Operation.SETNS, (Slot.NS_USER, str(owner), NamespaceType.USER.clone_flag))
        yield Step(Operation.UNSHARE, (CloneFlag.CLONE_NEWNET,))
    elif caller.privileged:
        yield Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNET,))
    else:
        yield Step(Operation.CLONE3, (CloneFlag.CLONE_NEWUSER | CloneFlag.CLONE_NEWNET,))
        yield from map_steps(IDMap(), caller)
    yield Step(Operation.LOOPBACK_UP)
    yield _netlink_socket(NETLINK_ROUTE)


def _netlink_socket(protocol: int) -> Step:
    return Step(Operation.HAND_OVER_SOCKET, (socket.AF_NETLINK, socket.SOCK_DGRAM, protocol))


def open_socket(
    namespace: Namespace, owner: Namespace | None, protocol: int = NETLINK_ROUTE
) -> int:
    """Open a netlink socket in a network namespace that is there, made by `create`."""
    return _within(namespace, owner, [_netlink_socket(protocol)]).take_descriptor()


def here(protocol: int = NETLINK_ROUTE) -> int:
    """Open a netlink socket in the calling thread's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, protocol).detach()


def write(namespace: Namespace, owner: Namespace | None, files: Mapping[str, bytes]) -> None:
    """Write what /proc/sys/net shows of a network namespace: its own, and no host's."""
    _within(namespace, owner, [Step(Operation.WRITE, file) for file in files.items()])


def _within(namespace: Namespace, owner: Namespace | None, steps: list[Step]) -> Launched:
    joined = [namespace] if owner is None else [owner, namespace]
    entering = [
        Step(Operation.SETNS, (one.type.slot, str(one), one.type.clone_flag)) for one in joined
    ]
    clone = Step(Operation.CLONE3, (CloneFlag(0),))
    return perform([clone, *entering, *steps], {one.type.slot: one.fileno() for one in joined})
