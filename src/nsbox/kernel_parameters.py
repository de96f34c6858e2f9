"""Kernel parameters that a namespace has of its own: sysctl(8), proc_sys(5)."""

from collections.abc import Iterator, Mapping
from typing import Any

from nsbox._native.operations import Operation
from nsbox.fields import frozen_map, is_kernel_text
from nsbox.frozen import FrozenMap
from nsbox.namespace import Choice, NamespaceType
from nsbox.namespace.choices import Choices
from nsbox.plan import Step

Sysctl = FrozenMap[str, str]

_OWNED = {
    "net/": NamespaceType.NET,
    "fs/mqueue/": NamespaceType.IPC,
    "kernel/msg": NamespaceType.IPC,
    "kernel/sem": NamespaceType.IPC,
    "kernel/shm": NamespaceType.IPC,
    "kernel/domainname": NamespaceType.UTS,
}
"""How the parameters of each kind of namespace begin; all others are the host's."""


def read(value: Mapping[str, str]) -> Sysctl:
    """Read parameters: ``{"net.ipv4.ip_forward": "1"}``."""
    return frozen_map(value, "sysctl")


def check(_: Any, attribute: Any, value: Mapping[Any, Any]) -> None:
    """Refuse what is no parameter of a namespace."""
    for name, content in value.items():
        if not is_kernel_text(name) or not is_kernel_text(content):
            raise ValueError(f"{attribute.name}: maps str to str, not {name!r} to {content!r}")
        parts = file(name).split("/")
        if kind(name) is None or not all(parts) or {".", ".."} & set(parts):
            raise ValueError(f"{attribute.name}: {name!r} is no parameter of a namespace")


def check_namespaces(value: Sysctl, choices: Choices) -> None:
    """Refuse what would change the starter's own."""
    for name in value:
        owner = kind(name)
        if owner is not None and choices.get(owner, Choice.HOST) is Choice.HOST:
            raise ValueError(f"sysctl: {name!r} takes a {owner.proc_name} namespace of the box's")


def file(name: str) -> str:
    """Return a parameter's file below /proc/sys: the first separator is the one that counts."""
    slash, dot = name.find("/"), name.find(".")
    if dot < 0 or 0 <= slash < dot:
        return name
    return name.translate({ord("."): "/", ord("/"): "."})


def kind(name: str) -> NamespaceType | None:
    """Return the kind of namespace that a parameter is one of; None for the host's."""
    path = file(name)
    return next((owner for start, owner in _OWNED.items() if path.startswith(start)), None)


def steps(value: Sysctl) -> Iterator[Step]:
    """Lower to the writes, done in the namespaces, by the caller's /proc."""
    for name, content in value.items():
        yield Step(Operation.WRITE, (f"/proc/sys/{file(name)}", content.encode()))
