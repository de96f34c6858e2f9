"""A `BoxSpec` lowered: its steps, encoded once and used for every box that is started from it."""

import copy
import functools
import os
from collections.abc import Sequence

import attrs

from nsbox import hints, sequence
from nsbox._native import Encoded
from nsbox._native.operations import Operation
from nsbox.cgroup import lower as cgroups
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import StepError, UnsupportedError
from nsbox.pipes import StrOrBytesPath
from nsbox.plan import Step, encode
from nsbox.template import Held, Template

HOST_NAME = os.urandom(32).hex()
"""What stands in a plan for a host name, which is at most as long: nobody else's text has it."""


@attrs.frozen(eq=False)
class Lowered:
    """The steps of a spec, encoded once and used for every box that is started from it.

    By its `checks`, done before the steps, whoever starts the next box finds out whether they still
    hold; without any, that is to be looked up first.
    """

    steps: tuple[Step, ...]
    checks: tuple[Step, ...]
    sources: tuple[tuple[int, str], ...]
    groups: cgroups.Groups
    works: tuple[str, ...]
    end_signal: int
    joins: bool
    refusal: UnsupportedError | None = None
    template: "Template | _NamedTemplate | None" = None
    held: Held | None = None
    fault: tuple[int, int] | None = None
    encoded: Encoded = attrs.field(init=False)

    @encoded.default
    def _encode(self) -> Encoded:
        steps = list(self.steps)
        if self.fault is not None:
            index, errno = self.fault
            steps[index] = Step(Operation.FAIL, (errno,))
        return encode((*self.checks, *steps))._replace(checks=len(self.checks))

    def failing(self, index: int, errno: int) -> "Lowered":
        """Return the same with one step that is not done, as if the kernel had said `errno`.

        For tests: what is told and left then must not depend on the step.
        """
        return attrs.evolve(self, fault=(index, errno), template=None)

    def by_copy(self, steps: tuple[Step, ...], held: Held) -> "Lowered":
        """Return the same by other steps, which begin with a copy of what is held."""
        checks = (*self.checks, Step(Operation.SAME_MOUNTS, (held.mountinfo, held.made_from)))
        return attrs.evolve(self, steps=steps, checks=checks, held=held)

    def named(self, hostname: str) -> "Lowered":
        """Return the same for a box of this host name, which is written into what is encoded."""
        name = Step(Operation.SETHOSTNAME, (hostname,))
        steps = [name if one.operation is Operation.SETHOSTNAME else one for one in self.steps]
        place = _bytes(HOST_NAME)
        data = self.encoded.data.replace(place, _bytes(hostname).ljust(len(place), b"\0"), 1)
        made = copy.copy(self)  # not evolved: that would encode it all again
        object.__setattr__(made, "steps", tuple(steps))
        object.__setattr__(made, "encoded", self.encoded._replace(data=data))
        if self.template is not None:
            object.__setattr__(made, "template", _NamedTemplate(self.template, hostname))
        return made

    @property
    def quickest(self) -> "Lowered":
        """What the next box is to be started by: with a copy of its root, where there is one."""
        return (self.template.copy() if self.template else None) or self

    def outdated(self) -> bool:
        """Take notice that a check has failed; return whether it is worth another try."""
        if self.template is None:
            return False
        if self.template.is_current():
            return True
        self.template.let_go()
        return False

    def plan_of(self, number: int) -> Encoded:
        """Return the plan for the box of this number."""
        if not self.groups.made and not self.works:
            return self.encoded
        made = [folder for _, folder in self.groups.directories] if self.groups.made else []
        data = self.encoded.data
        # Whole names only: a file of the caller's may have the placeholder in it.
        for name in map(os.path.basename, (*made, *self.works)):
            data = data.replace(_bytes(name), _bytes(_numbered(name, number)))
        return self.encoded._replace(data=data)

    def works_of(self, number: int) -> tuple[str, ...]:
        """Return the work folders of the overlays of the box of this number."""
        return self.works and tuple(_numbered(folder, number) for folder in self.works)

    def directories(self, number: int) -> dict[Hierarchy, str]:
        """Return the folders of the groups that the box of this number is in."""
        if not self.groups.made:
            return dict(self.groups.directories)
        return {
            hierarchy: _numbered(folder, number) for hierarchy, folder in self.groups.directories
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
        return StepError.of(step, errno, index, box=box, hint=hints.hint(step, errno))


class _NamedTemplate:
    """A template that boxes of many host names share, for those of one of them."""

    def __init__(self, template: "Template | _NamedTemplate", hostname: str) -> None:
        self._template = template
        self._named = functools.lru_cache(maxsize=1)(Lowered.named)
        self._hostname = hostname

    def copy(self) -> Lowered | None:
        """Return what the next box is started by, if there is a template."""
        lowered = self._template.copy()
        return lowered and self._named(lowered, self._hostname)

    def is_current(self) -> bool:
        """Whether it is still right."""
        return self._template.is_current()

    def let_go(self) -> None:
        """Have it made anew."""
        self._template.let_go()


def _numbered(folder: str, number: int) -> str:
    return folder.removesuffix(cgroups.NUMBER) + f"{number:0{len(cgroups.NUMBER)}}"


def _bytes(folder: str) -> bytes:
    return folder.encode(errors="surrogateescape")
