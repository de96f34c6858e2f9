"""What the running interpreter needs of the host, for `RootFS.system(python=True)`."""

import contextlib
import os
import pwd
import sys
import sysconfig
from collections.abc import Hashable, Iterable, Iterator

from nsbox.rootfs.mount import BindMount, Mount
from nsbox.rootfs.system import PROGRAMS

SHARED = ("dev", "etc", "home", "proc", "run", "sys", "tmp", "var/tmp")
"""Folders of the root that are shown as a whole by no import path."""


def python_mounts() -> tuple[BindMount, ...]:
    """Return binds of the running interpreter and its import path, each at its own path."""
    return tuple(Mount.bind(path, path, readonly=True) for path in shown(needed(), homes()))


def import_state() -> Hashable:
    """Return what `python_mounts` depends on, but for the folders themselves."""
    return (sys.prefix, sys.base_prefix, sys.executable, os.getcwd(), *sys.path, len(sys.meta_path))


def needed() -> Iterator[str]:
    """List what is needed, with what it leads to: some of it twice, some of it missing.

    Beside the prefixes and the import path: the folders of the standard library, for a prefix that
    is somebody's home, and packages that an editable install maps by a finder of its own.
    """
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    yield from _links(sys.executable)
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from (path or os.getcwd() for path in sys.path)
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", ""), None)
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            yield from (path for path in mapping.values() if isinstance(path, str))


def _links(path: str) -> Iterator[str]:
    """Follow a program's links one by one: each is a name that something may be found by."""
    for _ in range(40 if path else 0):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def homes() -> frozenset[str]:
    """Return the home of the caller, by all that tells of it."""
    found = {os.path.expanduser("~")}
    with contextlib.suppress(KeyError):
        found.add(pwd.getpwuid(os.geteuid()).pw_dir)
    return frozenset(os.path.realpath(home) for home in found) | frozenset(found)


def shown(paths: Iterable[str], homes: Iterable[str], host: str = "/") -> tuple[str, ...]:
    """Choose what is to be bound: what is there, by its own name and by what that leads to.

    Nothing that is shown anyway, or lies below another; no home, and no folder that holds one or
    is everybody's, such as /tmp.
    """
    apart = [*homes, *(os.path.join(host, name) for name in SHARED)]
    programs = [os.path.join(host, name) for name in PROGRAMS]
    candidates: set[str] = set()
    for path in paths:
        absolute = os.path.abspath(path)
        candidates |= {absolute, os.path.realpath(absolute)}
    chosen: list[str] = []
    for path in sorted(candidates):
        if not os.path.exists(path) or _is_anybodys(path, apart, host):
            continue
        if not any(_holds(other, path) for other in (*programs, *chosen)):
            chosen.append(path)
    return tuple(chosen)


def _is_anybodys(path: str, apart: list[str], host: str) -> bool:
    above = os.path.dirname(path)
    return above == os.path.join(host, "home") or any(_holds(path, folder) for folder in apart)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
