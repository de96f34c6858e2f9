"""Links of the caller's network that others are to have: moved into theirs. See rtnetlink(7)."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from nsbox.namespace import Namespace, NamespaceType
from nsbox.network import namespaces, requests
from nsbox.network.netlink import Netlink
from nsbox.network.requests import Request


def move(links: Mapping[str, str], namespace: Namespace) -> None:
    """Move links of the calling thread's network into another, and bring them up there.

    `links` gives the name of each there by its name here; one that ends in ``%d`` gets a number.
    Addresses of global scope that do not expire go along. Raises `OSError` where there is no such
    link, and `StepError` where one cannot be moved: then those before it are here again.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as undo:
        here = stack.enter_context(Namespace.current(NamespaceType.NET))
        outside = stack.enter_context(_speaking(namespaces.here))
        inside = stack.enter_context(_speaking(lambda: namespaces.open_socket(namespace, None)))
        for link, name in links.items():
            index = _index(link)
            kept = outside.lasting_addresses(index)
            was_up = [requests.up(index)] if outside.link(index)["flags"] & 1 else []
            place = max(inside.indexes(), default=0) + 1
            # Before: a link that gets a name there that is taken has moved when the kernel says so.
            again = [*_addressed(index, kept), *was_up]
            undo.callback(outside.send, again, ignored={errno.EEXIST, *requests.NO_IPV6})
            back = requests.enter(place, here.fileno(), index, link)
            undo.callback(inside.send, [back], ignored={errno.ENODEV})  # and then the other
            outside.send([requests.enter(index, namespace.fileno(), place, name)])
            inside.send([*_addressed(place, kept), requests.up(place)], ignored=requests.NO_IPV6)
        undo.pop_all()


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
