"""An agent who is asked about system calls: config-linux.md, "The Container Process State"."""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import attrs

from nsbox.oci.document import Node, invalid
from nsbox.security import Call, Seccomp


@attrs.frozen
class Agent:
    """Who listens at a unix(7) socket for the listeners of filters, and what is told beside."""

    path: str
    metadata: str | None = None

    def tell(self, version: str, pid: int, listener: int, state: Mapping[str, Any]) -> None:
        """Send the listener of a filter, which is closed here. Raises `OSError`."""
        told: dict[str, Any] = {"ociVersion": version, "fds": ["seccompFd"], "pid": pid}
        if self.metadata is not None:
            told["metadata"] = self.metadata
        text = json.dumps({**told, "state": dict(state)}).encode()
        try:
            with socket.socket(socket.AF_UNIX) as to:
                to.connect(self.path)
                sent = socket.send_fds(to, [text], [listener])
                if sent < len(text):
                    to.sendall(text[sent:])
        finally:
            os.close(listener)


def placeholder(call: Call) -> int | None:
    """Stand for the agent in a `Seccomp`: nobody here is asked."""
    raise NotImplementedError(call)


def read(linux: Node, seccomp: Seccomp | None) -> Agent | None:
    """Read who is asked; None where the filter asks nobody."""
    if seccomp is None or seccomp.handler is None:
        return None
    node = linux.child("seccomp")
    path = node.get("listenerPath", str, "")
    if not path:
        raise invalid(node.at("listenerPath"), "it is missing, and SCMP_ACT_NOTIFY takes one")
    return Agent(path, node.get("listenerMetadata", str, "") or None)
