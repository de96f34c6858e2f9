"""What ``@pytest.mark.nsbox(…)`` asks for, as a value."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import pytest

from nsbox.cgroup import Resources
from nsbox.namespace import NamespaceType
from nsbox.spec import BoxSpec

NAMES = {kind.proc_name: kind for kind in NamespaceType}

REFUSED = {
    NamespaceType.PID: "a process stays in its pid namespace for life",
    NamespaceType.TIME: "a process that runs stays with its clocks",
}
"""Kinds that no running test can be moved to: unshare(2) and setns(2) are for its children."""

BY_THREADS = frozenset(
    {NamespaceType.CGROUP, NamespaceType.IPC, NamespaceType.NET, NamespaceType.UTS}
)
"""Kinds that one thread of a process can be in without the others."""


@attrs.frozen
class Wish:
    """What a test is to run in."""

    namespaces: frozenset[NamespaceType]
    hostname: str | None
    resources: Resources

    def takes_process(self, *, privileged: bool) -> bool:
        """Whether the test needs a process of its own.

        For limits that are not to hold for pytest, for what a thread cannot have alone, and for the
        user namespace that a caller without privileges needs first.
        """
        return not privileged or bool(self.resources.given or self.namespaces - BY_THREADS)


def wish(item: pytest.Item) -> Wish:
    """Read the markers of a test, those nearest to it first. Raises `pytest.UsageError`."""
    __tracebackhide__ = True
    asked: dict[str, Any] = {}
    for mark in item.iter_markers("nsbox"):
        if mark.args:
            raise pytest.UsageError(f"nsbox marker: by name, not by position: {mark.args!r}")
        asked = {**mark.kwargs, **asked}
    try:
        return _wish(**asked)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"nsbox marker: {str(error).replace('_wish()', 'it')}") from None


def _wish(
    *,
    namespaces: Iterable[NamespaceType | str] = (),
    hostname: str | None = None,
    resources: Resources | Mapping[str, Any] | None = None,
) -> Wish:
    if isinstance(namespaces, str):
        raise ValueError(f"namespaces: a set of names, not {namespaces!r}")
    kinds = {_kind(one) for one in namespaces}
    if hostname is not None:
        BoxSpec(hostname=hostname)  # a name that no box can have is refused there
        kinds.add(NamespaceType.UTS)
    if not isinstance(resources, Resources):
        resources = Resources(**(resources or {}))
    if not kinds and not resources.given:
        raise ValueError("it asks for nothing: name namespaces, a hostname or resources")
    return Wish(frozenset(kinds), hostname, resources)


def _kind(named: NamespaceType | str) -> NamespaceType:
    kind = named if isinstance(named, NamespaceType) else NAMES.get(named)
    if kind is None:
        raise ValueError(f"namespaces: of {', '.join(NAMES)}, not {named!r}")
    if kind in REFUSED:
        raise ValueError(
            f"namespaces: a test cannot be moved to a {kind.proc_name} namespace, because "
            f"{REFUSED[kind]}: use the fixture box, and run what is to be tested in there"
        )
    return kind
