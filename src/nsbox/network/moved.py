"""Links of the caller's network that others are to have: moved into theirs. See rtnetlink(7)."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from nsbox.namespace import Namespace, NamespaceType
from nsbox.network import namespaces, requests
from nsbox.network.netlink import Netlink
from nsbox.network.requests import Request


@attrs.frozen
class End:
    """One end of a move: a network namespace and what speaks to the kernel there, both lent."""

    namespace: Namespace
    netlink: Netlink


def move(links: Mapping[str, str], namespace: Namespace) -> None:
    """Move links of the calling thread's network into another, and bring them up there.

    `links` gives the name of each there by its name here; one that ends in ``%d`` gets a number.
    Addresses of global scope that do not expire go along. Raises `OSError` where there is no such
    link, and `StepError` where one cannot be moved: then those before it are here again.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
        outside = stack.enter_context(here())
        speaking = _speaking(lambda: namespaces.open_socket(namespace, None))
        inside = End(namespace, stack.enter_context(speaking))
        for link, name in links.items():
            place = max(inside.netlink.indexes(), default=0) + 1
            kept = carry(link, outside, inside, place, undo=undo, name=name)
            inside.netlink.send(
                [*_addressed(place, kept), requests.up(place)], ignored=requests.NO_IPV6
            )
        undo.pop_all()


@contextlib.contextmanager
def here() -> Iterator[End]:
    """Speak in the calling thread's network."""
    with (
        Namespace.current(NamespaceType.NET) as namespace,
        _speaking(namespaces.here) as netlink,
    ):
        yield End(namespace, netlink)


def carry(
    link: str,
    outside: End,
    inside: End,
    place: int,
    *,
    undo: contextlib.ExitStack,
    name: str | None = None,
) -> Sequence[Mapping[str, object]]:
    """Move a link from one network into another, where it is down and has this index.

    `undo` brings it back: with its name, its addresses that last, and up if it was. Returns these
    addresses, which it has not in there. Raises `OSError` where there is no such link.
    """
    index = _index(link)
    kept = outside.netlink.lasting_addresses(index)
    was_up = [requests.up(index)] if outside.netlink.link(index)["flags"] & 1 else []

    def bring_back() -> None:
        if place in inside.netlink.indexes():
            back = requests.enter(place, outside.namespace.fileno(), index, link)
            inside.netlink.send([back])
            again = [*_addressed(index, kept), *was_up]
            outside.netlink.send(again, ignored=requests.NO_IPV6)

    # Before: a link that gets a name there that is taken has moved when the kernel says so.
    undo.callback(bring_back)
    outside.netlink.send([requests.enter(index, inside.namespace.fileno(), place, name)])
    return kept


@contextlib.contextmanager
def _speaking(open_socket: Callable[[], int]) -> Iterator[Netlink]:
    first = open_socket()
    try:
        second = open_socket()
    except BaseException:
        os.close(first)
        raise
    with contextlib.closing(Netlink(first, second)) as netlink:
        yield netlink


def _index(link: str) -> int:
    try:
        return socket.if_nametoindex(link)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), link) from None


def _addressed(index: int, kept: Sequence[Mapping[str, object]]) -> list[Request]:
    return [Request("RTM_NEWADDR", {**one, "index": index}) for one in kept]
