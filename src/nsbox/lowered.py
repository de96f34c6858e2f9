"""A `BoxSpec` lowered: its steps, encoded once and used for every box that is started from it."""

import functools
import os
import re
from collections.abc import Sequence

import attrs

from nsbox import hints, sequence
from nsbox._native import Launched
from nsbox._native.operations import Operation
from nsbox._native.values import Encoded, Ending
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.account import BoxGroups, ending
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import StepError, UnsupportedError
from nsbox.known import Known
from nsbox.launch import Own
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Step, encode
from nsbox.template import Held, Template

HOST_NAME = os.urandom(32).hex()
"""What stands in a plan for a host name, which is at most as long: nobody else's text has it."""


@attrs.frozen(eq=False)
class Lowered:
    """The steps of a spec, encoded once and used for every box that is started from it.

    By its `checks`, done before the steps, whoever starts the next box finds out whether they still
    hold; without any, that is to be looked up first. Boxes that differ by their numbers and host
    names alone share one: a number goes to the `places` in the data of the plan, with the texts of
    its `ending` behind it. `known` are the commands that were made from it or its `quickest`, with
    that, kept by whoever makes them.
    """

    steps: tuple[Step, ...]
    checks: tuple[Step, ...]
    sources: tuple[tuple[int, str], ...]
    groups: cgroups.Groups
    works: tuple[str, ...]
    end_signal: int
    joins: bool
    refusal: UnsupportedError | None = None
    template: Template | None = None
    held: Held | None = None
    fault: tuple[int, int] | None = None
    encoded: Encoded = attrs.field(init=False)
    _around_name: tuple[bytes, bytes] | None = attrs.field(init=False)
    ending: Ending = attrs.field(init=False)
    places: tuple[int, ...] = attrs.field(init=False)
    known: Known = attrs.field(init=False, factory=Known)

    @encoded.default
    def _encode(self) -> Encoded:
        steps = list(self.steps)
        if self.fault is not None:
            index, errno = self.fault
            steps[index] = Step(Operation.FAIL, (errno,))
        return encode((*self.checks, *steps))._replace(checks=len(self.checks))

    @_around_name.default
    def _split(self) -> tuple[bytes, bytes] | None:
        before, found, after = self.encoded.data.partition(_bytes(HOST_NAME))
        return (before, after) if found else None

    @ending.default
    def _end_groups(self) -> Ending:
        return ending(dict(self.groups.directories), made=self.groups.made)

    @places.default
    def _find_places(self) -> tuple[int, ...]:
        """Whole names only: a file of the caller's may have the placeholder in it."""
        made = [folder for _, folder in self.groups.directories] if self.groups.made else []
        names = {os.path.basename(folder) for folder in (*made, *self.works)}
        data = self.encoded.data + self.ending.texts
        found = (re.finditer(re.escape(_bytes(name)), data) for name in names)
        ends = sorted({one.end() for each in found for one in each})
        return tuple(end - len(cgroups.NUMBER) for end in ends)

    def failing(self, index: int, errno: int) -> "Lowered":
        """Return the same with one step that is not done, as if the kernel had said `errno`.

        For tests: what is told and left then must not depend on the step.
        """
        return attrs.evolve(self, fault=(index, errno), template=None)

    def by_copy(self, steps: tuple[Step, ...], held: Held) -> "Lowered":
        """Return the same by other steps, which begin with a copy of what is held."""
        checks = (*self.checks, held.check)
        return attrs.evolve(self, steps=steps, checks=checks, held=held, template=None)

    @property
    def quickest(self) -> "Lowered":
        """What the next box is to be started by: with a copy of its root, where there is one."""
        return (self.template.copy(self) if self.template else None) or self

    def outdated(self) -> bool:
        """Take notice that a check has failed; return whether it is worth another try."""
        if self.template is None:
            return False
        if self.template.is_current():
            return True
        self.template.let_go()
        self.known.clear()  # what holds the copy, which holds descriptors
        return False

    @property
    def is_numbered(self) -> bool:
        """Whether boxes differ by their numbers, which their groups and work folders have."""
        return bool(self.places)

    def encoded_for(self, hostname: str | None) -> Encoded:
        """Return it for the boxes of this host name."""
        if hostname is None or self._around_name is None:
            return self.encoded
        before, after = self._around_name
        name = _bytes(hostname).ljust(len(HOST_NAME), b"\0")
        return self.encoded._replace(data=before + name + after)

    def works_of(self, number: int) -> tuple[str, ...]:
        """Return the work folders of the overlays of the box of this number."""
        return tuple(_numbered(folder, number) for folder in self.works)

    def groups_of(self, number: int) -> BoxGroups | None:
        """Return the groups that the box of this number is in, if it is in any of its own."""
        if not self.groups.directories:
            return None
        directories = functools.partial(self._directories, number)
        return BoxGroups(directories, made=self.groups.made)

    def _directories(self, number: int) -> dict[Hierarchy, str]:
        return {
            hierarchy: _numbered(folder, number) if self.groups.made else folder
            for hierarchy, folder in self.groups.directories
        }

    def check_sources(self, box: str | None) -> None:
        """Look for what the caller wants to be shown, before anything is made."""
        for index, path in self.sources:
            try:
                os.stat(path)
            except OSError as error:
                assert error.errno is not None
                raise self.failure(len(self.checks) + index, error.errno, (), box) from None

    def check_rights(self) -> None:
        """Raise `UnsupportedError` where the caller may not make the groups of the plan."""
        if self.refusal is not None:
            raise self.refusal

    def failure(
        self, index: int, errno: int, args: Sequence[StrOrBytesPath], box: str | None
    ) -> StepError:
        """Make the error for the step that failed, by its place among those that are encoded."""
        index = min(max(index - len(self.checks), 0), len(self.steps) - 1)
        step = self.steps[index]
        if step.operation is Operation.EXECVE:
            step = sequence.execve(args)
        elif step.operation is Operation.SETHOSTNAME and box is not None:
            step = Step(Operation.SETHOSTNAME, (box,))
        return StepError.of(step, errno, index, box=box, hint=hints.hint(step, errno))


class OwnByNumber(Own):
    """What a box has for itself by its number, which it has got once it begins."""

    def __init__(self, lowered: Lowered, launched: Launched) -> None:
        self._lowered, self._launched = lowered, launched
        self._groups: BoxGroups | None = None

    @property
    def groups(self) -> BoxGroups | None:  # type: ignore[override]
        """Its cgroups, which the plan makes or joins."""
        if self._groups is None:
            self._groups = self._lowered.groups_of(self._launched.number)
        return self._groups

    @property
    def works(self) -> tuple[str, ...]:  # type: ignore[override]
        """The work folders of its overlays, which the plan makes and its end removes."""
        return self._lowered.works and self._lowered.works_of(self._launched.number)


def _numbered(folder: str, number: int) -> str:
    return f"{folder.removesuffix(cgroups.NUMBER)}{number:0{len(cgroups.NUMBER)}}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
