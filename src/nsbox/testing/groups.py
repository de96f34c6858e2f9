"""A group of a test's own."""

import contextlib
import itertools
import os
from collections.abc import Iterator

from nsbox.cgroup import Resources
from nsbox.cgroup.cgroup import Cgroup
from nsbox.host import probe
from nsbox.testing.skipping import skip, skipped_where_missing

_numbers = itertools.count(1)


@contextlib.contextmanager
def group(resources: Resources = Resources()) -> Iterator[Cgroup]:
    """Make a group for a ``with`` block; skip the test where the caller may make none."""
    __tracebackhide__ = True
    host = probe().cgroups
    if not host.writable:
        skip(host)
    with skipped_where_missing([host]):
        made = Cgroup.create(f"nsbox-test-{os.getpid()}-{next(_numbers)}", resources)
    with made:
        yield made
