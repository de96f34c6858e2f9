"""Which namespaces a box is to have: new, its starter's, or one that is there already."""

import enum
import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from nsbox.fields import frozen_map, is_kernel_text
from nsbox.frozen import FrozenMap
from nsbox.namespace.handle import Namespace
from nsbox.namespace.types import NamespaceType


class Choice(enum.Enum):
    """What a box gets of one kind: a namespace of its own, or its starter's."""

    NEW = "new"
    HOST = "host"

    def __repr__(self) -> str:
        return f"Choice.{self.name}"


Chosen: TypeAlias = "Choice | Namespace | str"
"""A choice, or a namespace to join: a handle, or the path of a file that stands for one."""

Choices: TypeAlias = FrozenMap[NamespaceType, Chosen]


ISOLATED: Choices = FrozenMap(
    dict.fromkeys(
        (
            NamespaceType.CGROUP,
            NamespaceType.IPC,
            NamespaceType.MNT,
            NamespaceType.NET,
            NamespaceType.PID,
            NamespaceType.UTS,
        ),
        Choice.NEW,
    )
)
"""What a `BoxSpec` has unless told otherwise: a namespace of its own of each of six kinds.

Change it with ``|``: ``ISOLATED | {NamespaceType.NET: Choice.HOST}``.
"""


def choices(value: Mapping[NamespaceType, Any]) -> Choices:
    """Make the value of a spec's field: paths as text, all else as it is."""
    return FrozenMap(
        {
            kind: os.fspath(chosen) if isinstance(chosen, os.PathLike) else chosen
            for kind, chosen in frozen_map(value, "namespaces").items()
        }
    )


def check_choices(_: Any, attribute: "attrs.Attribute[Choices]", value: Mapping[Any, Any]) -> None:
    """Refuse what is no `NamespaceType`, or nothing that a box can have of it."""
    for kind, chosen in value.items():
        if not isinstance(kind, NamespaceType) or not isinstance(chosen, Choice | Namespace | str):
            raise ValueError(
                f"{attribute.name}: maps a NamespaceType to a Choice, a Namespace or a path, "
                f"not {kind!r} to {chosen!r}"
            )
        if isinstance(chosen, Namespace) and chosen.type is not kind:
            raise ValueError(
                f"{attribute.name}: {chosen!r} is a {chosen.type.proc_name} namespace, "
                f"and cannot be the box's {kind.proc_name}"
            )
        if isinstance(chosen, str) and not ("/" in chosen and is_kernel_text(chosen)):
            raise ValueError(
                f"{attribute.name}: the path of a namespace has a slash in it, unlike {chosen!r}"
            )
