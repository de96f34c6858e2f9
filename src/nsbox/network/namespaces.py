"""Network namespaces with a netlink socket in each: of a bridge, and of the machines on it.

A child makes one and hands over a socket that it opens there; the socket tells the namespace. An
ordinary user's are in one user namespace, that of the bridge. Its maker has all rights there from
outside, too (user_namespaces(7), "Capabilities"), but for being in it, which takes the child.
"""

import fcntl
import os
import socket
from collections.abc import Iterator

import attrs

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.constants import CloneFlag
from nsbox.namespace import IDMap, Namespace, NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.perform import perform
from nsbox.plan import Slot, Step

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
    yield Step(Operation.HAND_OVER_SOCKET, (socket.AF_NETLINK, socket.SOCK_DGRAM))
