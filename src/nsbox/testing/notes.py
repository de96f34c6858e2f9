"""What is noted of a test while it runs, for its report."""

import contextlib
import os
from collections.abc import Callable
from typing import NoReturn

import attrs
import pytest

from nsbox.pytest_plugin import NOTES

Section = Callable[[], tuple[str, str]]


@attrs.define
class Notes:
    """What is noted of one test.

    - `sections` give a title and text for the report of a failure, when it is made; each is told
      by the process that noted it.
    - `told` is what the test's own process has told, if it had one and that could tell.
    - `tell` is, in a test's own process, the descriptor that it tells by; `started` is what that
      process has started, and ends with it.
    """

    sections: list[tuple[int, Section]] = attrs.field(factory=list)
    told: bytes | None = None
    tell: int | None = None
    started: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack)

    def add(self, section: Section) -> None:
        """Note what to tell if the test fails."""
        self.sections.append((os.getpid(), section))

    def own_sections(self) -> list[tuple[str, str]]:
        """Return what the calling process has to tell."""
        return [section() for pid, section in self.sections if pid == os.getpid()]

    def end_child(self) -> None:
        """End the calling process if it is a test's own: it has nothing to do after the test."""
        if self.tell is not None:
            self.leave(1)

    def leave(self, code: int) -> NoReturn:
        """End the calling process, which is a test's own, with what it has started."""
        try:
            self.started.close()
        finally:
            os._exit(code)


def notes(item: pytest.Item) -> Notes:
    """Return the notes of a test."""
    noted: Notes = item.stash.setdefault(NOTES, Notes())
    return noted
