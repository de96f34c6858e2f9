"""A way out of a bridge: by NAT for root, through a program of its own for an ordinary user.

Nothing of the host's is changed but what is added and goes again: for root one link and one table
of nftables, both of which end with their owner, however that ends.
"""

import contextlib
import errno
import os
import select
import shutil
import socket
import subprocess
from typing import Literal

from nsbox.errors import UnsupportedError
from nsbox.namespace import Namespace, NamespaceType
from nsbox.network import namespaces, nftables, requests, wires
from nsbox.network.namespaces import NETLINK_NETFILTER, NETLINK_ROUTE
from nsbox.network.netlink import Netlink

By = Literal["nat", "slirp4netns"]

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_TAP = "tap0"
_PATIENCE = 10
"""Seconds."""
_GONE = frozenset({errno.ENODEV})


def nat(bridge: Namespace, netlink: Netlink, index: int, end: contextlib.ExitStack) -> None:
    """Lay a wire into the calling thread's network, and masquerade there what comes by it.

    The wire goes with the bridge's namespace, and the rule with its socket.
    """
    with open(_FORWARDING, encoding="ascii") as file:
        if file.read().strip() == "0":
            raise UnsupportedError(
                "uplink: the host does not forward packets, which is for its administrator to "
                "change: `sysctl net.ipv4.ip_forward=1`"
            )
    number = wires.number()
    name = f"nsb{os.getpid()}n{number % 1000}"
    with Namespace.current(NamespaceType.NET) as here:
        peer = {"ifname": name, "net_ns_fd": here.fileno()}
        netlink.send([requests.veth(index, None, peer)])
    end.callback(_remove, netlink, index)
    there = socket.if_nametoindex(name)
    # Of anybody's wires in that network another has these only if thousands of links came between.
    inside, outside = wires.TO_THE_HOST.pair(there)
    _hide(bridge, None, f"nsb{index}", end)
    table = end.enter_context(
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_NETFILTER)
    )
    nftables.masquerade(table, f"nsbox-{os.getpid()}-{number}", inside.ip, name)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_ROUTE) as sock:
        netlink.send_by(sock.fileno(), [*requests.addressed(there, [outside]), requests.up(there)])
    netlink.send(requests.addressed(index, [inside]))
    netlink.send([requests.route("0.0.0.0/0", str(outside.ip), index)])


def _remove(netlink: Netlink, index: int) -> None:
    """Remove the wire at once: among the host's links it would be seen for a while else."""
    netlink.send([requests.remove(index)], ignored=_GONE)


def slirp(bridge: Namespace, owner: Namespace | None, end: contextlib.ExitStack) -> str:
    """Start slirp4netns(1), which speaks for the bridge by sockets of its own; it ends with `end`.

    Returns the name server that it has.
    """
    program = shutil.which("slirp4netns")
    if program is None:
        raise UnsupportedError(
            "uplink: without CAP_SYS_ADMIN it takes slirp4netns(1), which is not installed: "
            "`apt install slirp4netns`"
        )
    _hide(bridge, owner, _TAP, end)
    (stay, leave), (ready, told) = os.pipe(), os.pipe()
    here = f"/proc/{os.getpid()}/fd"
    command = [
        *(program, "--configure", "--mtu=65520", "--disable-host-loopback"),
        *("--netns-type=path", f"--exit-fd={stay}", f"--ready-fd={told}"),
        *([f"--userns-path={here}/{owner.fileno()}"] if owner else []),
        *(f"{here}/{bridge.fileno()}", _TAP),
    ]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(stay, told),
        )
    except BaseException:
        os.close(leave)
        os.close(ready)
        raise
    finally:
        os.close(stay)
        os.close(told)
    end.callback(_wait, process)
    end.callback(os.close, leave)  # by which it ends, whoever lets go of it
    with open(ready, "rb") as answer:
        told_of = select.poll()
        told_of.register(answer, select.POLLIN)
        if not told_of.poll(_PATIENCE * 1000) or not answer.read(1):
            process.kill()
            _, why = process.communicate()
            raise UnsupportedError(
                f"uplink: slirp4netns did not come up: {why.decode(errors='replace').strip()}"
            )
    return "10.0.2.3"


def _wait(process: "subprocess.Popen[bytes]") -> None:
    with process:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def _hide(bridge: Namespace, owner: Namespace | None, link: str, end: contextlib.ExitStack) -> None:
    """Have what leaves the bridge's namespace by a link bear that link's own address."""
    fd = namespaces.open_socket(bridge, owner, NETLINK_NETFILTER)
    sock = end.enter_context(socket.socket(fileno=fd))
    nftables.masquerade(sock, "nsbox", None, link)
