"""Running a test in namespaces of its own: by the thread that runs it, or in a process of its own.

A thread that may do so moves into the namespaces and back, and the test is in every other way as it
was. Where that does not go, the test's own part runs in a fork of the process, which sends its
report back: there is a single thread in it, which can be in any namespace and under any limit.
Fixtures are set up and torn down outside, in both cases.
"""

import contextlib
from collections.abc import Iterator

import pytest

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.namespace import Namespace
from nsbox.perform import perform
from nsbox.plan import Step
from nsbox.testing import forked
from nsbox.testing.marker import Wish, wish
from nsbox.testing.skipping import needed_for_namespaces, skipped_where_missing


@contextlib.contextmanager
def around(item: pytest.Item) -> Iterator[None]:
    """Have the test run where its marker says, in a ``with`` block around its call."""
    __tracebackhide__ = True
    wanted = wish(item)
    surrounding = forked.around if takes_process(wanted) else _entered
    with surrounding(item, wanted):
        yield


def takes_process(wanted: Wish) -> bool:
    """Whether a test needs a process of its own here."""
    return wanted.takes_process(privileged=Caller.current().privileged)


@contextlib.contextmanager
def _entered(_: pytest.Item, wanted: Wish) -> Iterator[None]:
    __tracebackhide__ = True
    kinds = sorted(wanted.namespaces, key=lambda kind: kind.proc_name)
    with contextlib.ExitStack() as stack:
        with skipped_where_missing(needed_for_namespaces(kinds)):
            for kind in kinds:
                namespace = stack.enter_context(Namespace.create(kind))
                stack.enter_context(namespace.entered())
        if wanted.hostname is not None:
            perform([Step(Operation.SETHOSTNAME, (wanted.hostname,))])
        yield
