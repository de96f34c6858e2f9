"""Namespaces: what a process sees as its machine. See namespaces(7)."""

from nsbox.namespace.idmap import IDMap
from nsbox.namespace.types import ISOLATED, Choice, NamespaceType

__all__ = ["ISOLATED", "Choice", "IDMap", "NamespaceType"]
