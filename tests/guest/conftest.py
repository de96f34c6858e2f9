"""What differs from the other tests: these take minutes, in which others may mount and unmount."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def _own() -> tuple[set[str], list[str]]:
    children = Path("/proc/thread-self/children").read_text().split()
    return set(os.listdir("/proc/self/fd")), children


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Instead of the fixture of all tests: no descriptor and no process of ours is left."""
    before = _own()
    yield
    assert _own() == before
