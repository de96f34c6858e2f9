"""A test in a process of its own: a fork, in the namespaces and under the limits that it asks for.

The fork comes between the test's setup and its call. The child goes on with the call, up to the
report, sends that and ends; the parent waits, and takes the report for the test's. So all that
fixtures have made is there in the child, and other plugins have their part in the report; what the
test changes in the memory of its process is gone with it.
"""

import contextlib
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest

from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup.cgroup import Cgroup
from nsbox.constants import AT_FDCWD, AtFlag, Propagation
from nsbox.namespace import IDMap, NamespaceType
from nsbox.namespace.create import map_steps
from nsbox.namespace.types import clone_flags
from nsbox.perform import perform
from nsbox.plan import Step
from nsbox.testing import reports
from nsbox.testing.groups import group
from nsbox.testing.marker import Wish
from nsbox.testing.notes import Notes, notes
from nsbox.testing.skipping import needed_for_namespaces, skipped_where_missing


@contextlib.contextmanager
def around(item: pytest.Item, wanted: Wish) -> Iterator[None]:
    """Have the test's own part run in a fork, in a ``with`` block around its call."""
    __tracebackhide__ = True
    if "box" in getattr(item, "fixturenames", ()):
        raise pytest.UsageError(
            "nsbox marker: here the test runs in a process of its own, whose child a box of the "
            "fixture is not: start one in the test, by box_factory"
        )
    original = item.runtest

    def runtest() -> None:
        __tracebackhide__ = True
        _run(notes(item), wanted, original)

    item.runtest = runtest  # type: ignore[method-assign]
    try:
        yield
    finally:
        del item.runtest  # the instance's; that of its class is in force again


def _run(noted: Notes, wanted: Wish, original: Callable[[], None]) -> None:
    __tracebackhide__ = True
    with contextlib.ExitStack() as stack:
        limits = stack.enter_context(group(wanted.resources)) if wanted.resources.given else None
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        pid = _fork()
        if pid == 0:
            noted.tell = writing
            _be_child(noted, wanted, limits, original)
            return
        os.close(writing)
        noted.told, status = _wait(pid, reading)
        if limits is not None:
            noted.add(reports.section_of_group(limits))
    if noted.told is None:
        pytest.fail(f"the test's own process {_end(status)} before it could report", pytrace=False)


def _fork() -> int:
    """Fork; what is in buffers belongs to the parent."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Of threads, from 3.12 on: xdist has one, which waits and holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_child(
    noted: Notes, wanted: Wish, limits: Cgroup | None, original: Callable[[], None]
) -> None:
    """Run the test in the child; its end comes with its report, see `reports.completed`."""
    __tracebackhide__ = True
    try:
        if limits is not None:
            limits.attach(os.getpid())
        kinds = sorted(wanted.namespaces, key=lambda kind: kind.proc_name)
        if kinds:
            with skipped_where_missing(needed_for_namespaces(kinds)):
                perform(list(_steps(wanted)))
        original()
    except (KeyboardInterrupt, pytest.exit.Exception):
        noted.leave(1)  # else this would be a second pytest that ends its session


def _steps(wanted: Wish) -> Iterator[Step]:
    """Lower the move into new namespaces, for a process with a single thread. See unshare(2)."""
    caller = Caller.current()
    kinds = set(wanted.namespaces)
    if not caller.privileged:
        kinds.add(NamespaceType.USER)
    yield Step(Operation.UNSHARE, (clone_flags(kinds),))
    if NamespaceType.USER in kinds:
        yield from map_steps(IDMap.root(), caller)
    if NamespaceType.MNT in kinds:
        private = Propagation.MS_PRIVATE
        yield Step(Operation.REMOUNT, (AT_FDCWD, "/", AtFlag.AT_RECURSIVE, 0, 0, private))
    if NamespaceType.NET in kinds:
        yield Step(Operation.LOOPBACK_UP)
    if wanted.hostname is not None:
        yield Step(Operation.SETHOSTNAME, (wanted.hostname,))


def _wait(pid: int, reading: int) -> tuple[bytes | None, int]:
    """Read what the child tells until it ends; whatever is raised meanwhile ends it.

    Its end is told by a pidfd: others that it started may hold the pipe open.
    """
    told = bytearray()
    pidfd = os.pidfd_open(pid)
    try:
        os.set_blocking(reading, False)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(reading, select.POLLIN)
        ready: dict[int, int] = {}
        while pidfd not in ready:
            ready = dict(poll.poll())
            with contextlib.suppress(BlockingIOError):
                while part := os.read(reading, 1 << 16):
                    told += part
                if pidfd not in ready:
                    poll.unregister(reading)  # at its end, which would be told again and again
    except BaseException:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        raise
    finally:
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
    return (bytes(told) if status == 0 and told else None), status


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
