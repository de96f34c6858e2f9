"""Machines on networks: servers in some of them, and others that ask for them."""

from collections.abc import Iterable
from contextlib import ExitStack

import nsbox

PYTHON = ["/usr/bin/python3", "-ISc"]

SERVE = """
import socket, sys
server = socket.create_server(
    ("::", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=99
)
print("ready", flush=True)
while True:
    peer, who = server.accept()
    words = {"name": socket.gethostname(), "peer": who[0].removeprefix("::ffff:")}
    peer.sendall(words[sys.argv[1]].encode())
    peer.close()
"""

ASK = """
import socket, sys
for name in sys.argv[3:]:
    try:
        with socket.create_connection((name, sys.argv[2]), timeout=float(sys.argv[1])) as peer:
            print(peer.recv(99).decode())
    except OSError as error:
        print("-")
"""


def serve(
    stack: ExitStack, machines: Iterable[nsbox.Box], *, tells: str = "name", port: int = 80
) -> None:
    """Have each tell whoever asks its own host name, or the address of its ``"peer"``."""
    command = [*PYTHON, SERVE, tells, str(port)]
    servers = [
        stack.enter_context(machine.popen(command, stdout=nsbox.PIPE, text=True))
        for machine in machines
    ]
    for server in servers:
        assert server.stdout.readline() == "ready\n"


def ask(machine: nsbox.Box, *names: str, timeout: float = 30, port: int = 80) -> list[str]:
    """Return what each server tells, ``"-"`` for one that was not reached."""
    command = asking(*names, timeout=timeout, port=port)
    done = machine.run(command, capture_output=True, text=True, check=True)
    return str(done.stdout).split()


def asking(*names: str, timeout: float = 30, port: int = 80) -> list[str]:
    """Return the command of `ask`."""
    return [*PYTHON, ASK, str(timeout), str(port), *names]
