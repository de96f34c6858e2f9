"""What differs from the other tests: these take minutes, in which others may mount and unmount."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm.kernel import installed
from vm.needs import missing


def _own() -> tuple[set[str], list[str]]:
    children = Path("/proc/thread-self/children").read_text().split()
    return set(os.listdir("/proc/self/fd")), children


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Instead of the fixture of all tests: no descriptor and no process of ours is left."""
    before = _own()
    yield
    assert _own() == before


@pytest.fixture(scope="session")
def machine() -> None:
    """The test starts a virtual machine."""
    if reasons := missing():
        pytest.skip("; ".join(reasons))


@pytest.fixture(scope="session")
def kernel(machine: None) -> None:
    """The test boots the machine's own newest cloud kernel."""
    if not installed():
        pytest.skip("no kernel to boot in /boot (Debian: linux-image-cloud-amd64)")
