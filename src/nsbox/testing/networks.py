"""A network namespace of a test's own."""

import contextlib
from collections.abc import Iterator

from nsbox.namespace import Namespace, NamespaceType
from nsbox.testing.skipping import needed_for_namespaces, skipped_where_missing


@contextlib.contextmanager
def network() -> Iterator[Namespace]:
    """Make a network namespace for a ``with`` block; skip the test where that cannot be."""
    __tracebackhide__ = True
    with skipped_where_missing(needed_for_namespaces((NamespaceType.NET,))):
        made = Namespace.create(NamespaceType.NET)
    with made:
        yield made
