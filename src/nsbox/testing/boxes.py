"""Boxes that a test starts: ended with it, and told of in the report of its failure."""

import contextlib
import subprocess
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

import attrs
import pytest

from nsbox.box import Box
from nsbox.errors import StepError
from nsbox.parameters import RunParameters
from nsbox.pipes import StrOrBytesPath
from nsbox.spec import BoxSpec
from nsbox.testing import reports
from nsbox.testing.notes import notes
from nsbox.testing.skipping import needed_for_box, skipped_where_missing
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup

_KEPT = 5
"""How many of its last commands are told of."""


class RecordedBox(Box):
    """A box that remembers the last commands that were run in it: `ran`."""

    def __init__(self, spec: BoxSpec, cgroup: "Cgroup | None" = None) -> None:
        self.ran: deque[CompletedProcess | subprocess.SubprocessError] = deque(maxlen=_KEPT)
        super().__init__(spec, cgroup)

    def run(
        self,
        args: StrOrBytesPath | Sequence[StrOrBytesPath],
        **parameters: Unpack[RunParameters],
    ) -> CompletedProcess:
        """Run a command in the box and remember what it came to: see `Box.run`."""
        try:
            done = super().run(args, **parameters)
        except subprocess.SubprocessError as error:
            self.ran.append(error)
            raise
        self.ran.append(done)
        return done


class Boxes:
    """The boxes of one test."""

    def __init__(self, item: pytest.Item) -> None:
        self._name = item.name
        self._notes = notes(item)
        self._started = contextlib.ExitStack()

    def start(
        self, spec: BoxSpec | None = None, *, cgroup: "Cgroup | None" = None, **fields: Any
    ) -> Box:
        """Start a box of a spec, some of whose fields may be given anew; see `BoxSpec.start`."""
        __tracebackhide__ = True
        wanted = attrs.evolve(spec or BoxSpec(), **fields)
        try:
            with skipped_where_missing(needed_for_box(wanted)):
                box = RecordedBox(wanted, cgroup)
        except StepError as error:
            self._notes.add(reports.section_of_failure(wanted, error))
            raise error.with_traceback(None) from None  # it says all; how we got there does not
        # In a test's own process it is not for the fixture to end it, which is the parent's.
        own = self._started if self._notes.tell is None else self._notes.started
        own.enter_context(box)
        self._notes.add(lambda: reports.section_of_box(box))
        return box

    def __repr__(self) -> str:
        return f"<Boxes of {self._name}>"

    def __enter__(self) -> "Boxes":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._started.close()
        return False
