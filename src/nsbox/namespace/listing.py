"""Which namespaces there are, by the processes in them: what lsns(8) does. See proc_pid_ns(5)."""

import contextlib
import os
from collections.abc import Iterator

from nsbox.namespace.types import NamespaceType


def pids(kind: NamespaceType, identity: tuple[int, int]) -> Iterator[int]:
    """Find the processes that are in one, as far as the caller may look at them."""
    for pid in _processes():
        if _identity(f"/proc/{pid}/ns/{kind.proc_name}") == identity:
            yield int(pid)


def all_namespaces() -> dict[tuple[int, int], tuple[NamespaceType, str]]:
    """Find those of all processes: their kind and a file that stands for each, by identity.

    One pass over /proc, which opens none of them.
    """
    found: dict[tuple[int, int], tuple[NamespaceType, str]] = {}
    for pid in _processes():
        for kind in NamespaceType:
            path = f"/proc/{pid}/ns/{kind.proc_name}"
            identity = _identity(path)
            if identity is not None:
                found.setdefault(identity, (kind, path))
    return found


def _processes() -> Iterator[str]:
    with os.scandir("/proc") as entries:
        yield from (entry.name for entry in entries if entry.name.isdecimal())


def _identity(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):  # ended meanwhile, or not ours to look at
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
