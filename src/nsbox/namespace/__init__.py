"""Namespaces: what a process sees as its machine. See namespaces(7)."""

from nsbox.namespace.choices import ISOLATED, Choice
from nsbox.namespace.handle import Namespace, namespaces
from nsbox.namespace.idmap import IDMap
from nsbox.namespace.offsets import TimeOffsets
from nsbox.namespace.pinned import unpin
from nsbox.namespace.types import NamespaceType

__all__ = [
    "ISOLATED",
    "Choice",
    "IDMap",
    "Namespace",
    "NamespaceType",
    "TimeOffsets",
    "namespaces",
    "unpin",
]
