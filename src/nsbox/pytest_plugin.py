"""The pytest plugin: boxes, groups and networks as fixtures, and tests in namespaces of their own.

pytest loads it in every run once nsbox is installed. So it stands on nothing: what it needs is
loaded when a fixture or the marker is first used.
"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nsbox.box import Box
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.namespace import Namespace
    from nsbox.testing.machines import Machines

_MARKER = (
    "nsbox(namespaces=(), hostname=None, resources=None): run the test in namespaces of its own, "
    "or under limits"
)


def pytest_configure(config: pytest.Config) -> None:
    """Let the marker be known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def box_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., "Box"]]:
    """Start boxes: call it with fields of `nsbox.BoxSpec`, or with a spec; they end with the test.

    Skips the test, with reason and remedy, where this host cannot start such a box.
    """
    from nsbox.testing.boxes import Boxes  # noqa: PLC0415 - loaded when first used

    with Boxes(request.node) as boxes:
        yield boxes.start


@pytest.fixture
def box(box_factory: Callable[..., "Box"]) -> "Box":
    """A box that has started: the default one of `nsbox.BoxSpec()`."""
    return box_factory()


@pytest.fixture
def cgroup() -> Iterator["Cgroup"]:
    """A cgroup of the test's own, removed with all that is in it at the test's end.

    Skips the test, with reason and remedy, where this host lets the caller make none.
    """
    from nsbox.testing.groups import group  # noqa: PLC0415

    with group() as made:
        yield made


@pytest.fixture
def netns() -> Iterator["Namespace"]:
    """A network namespace of the test's own, its loopback up: a handle, which nothing is in yet.

    Skips the test, with reason and remedy, where this host lets the caller make none.
    """
    from nsbox.testing.networks import network  # noqa: PLC0415

    with network() as made:
        yield made


@pytest.fixture
def machines(request: pytest.FixtureRequest) -> Iterator["Machines"]:
    """Start machines on a network of the test's own: ``machines(3)`` gives three boxes.

    They reach each other by address and by name (``node0`` …); `machines.network` is their bridge,
    to be partitioned or impaired. Skips the test, with reason and remedy, where that cannot be.
    """
    from nsbox.testing.machines import Machines  # noqa: PLC0415

    with Machines(request.node) as started:
        yield started


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that cannot be heeded before anything is set up for the test."""
    __tracebackhide__ = True
    if item.get_closest_marker("nsbox") is not None:
        from nsbox.testing.marker import wish  # noqa: PLC0415

        wish(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run a test that is marked in namespaces of its own."""
    if item.get_closest_marker("nsbox") is None:
        return (yield)
    __tracebackhide__ = True
    from nsbox.testing.marked import around  # noqa: PLC0415

    with around(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of the boxes of a test that failed, and hand over what a test's own process reports."""
    report = yield
    if NOTES not in item.stash:
        return report
    from nsbox.testing.reports import completed  # noqa: PLC0415

    return completed(item, call.when, report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Make sure that a test's own process ends with the test, whatever a plugin does."""
    try:
        return (yield)
    finally:
        if NOTES in item.stash:
            item.stash[NOTES].end_child()


NOTES: "pytest.StashKey[Any]" = pytest.StashKey()
"""What `nsbox.testing` notes of a test: a `nsbox.testing.notes.Notes`."""
