"""What the files of this folder share: a write, a reader, and how to say that a version cannot."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from nsbox._native.operations import Operation
from nsbox.cgroup import formats
from nsbox.errors import UnsupportedError
from nsbox.plan import Step

Value = TypeVar("Value")

Read = Callable[[str], str | None]
"""Gives the text of a file of a group, None where the group has no such file."""


class Write(NamedTuple):
    """One value for one file, and the field of `Resources` that it comes from."""

    file: str
    value: str
    field: str

    def step(self, folder: str) -> Step:
        """Return the step that does it in a group's folder."""
        return Step(Operation.WRITE, (f"{folder}/{self.file}", self.value.encode()))


class Attach(NamedTuple):
    """An eBPF program for the devices of a group of v2, in place of one from before."""

    program: bytes
    field: str

    @property
    def file(self) -> str:
        """None: it is the folder itself that a program is attached to."""
        return ""

    def step(self, folder: str) -> Step:
        """Return the step that does it in a group's folder."""
        return Step(Operation.BPF_DEVICES, (folder, self.program))


Change = Write | Attach


def told(read: Read, file: str, parse: Callable[[str], Value]) -> Value | None:
    """Return what a file says, None where the group has no such file."""
    text = read(file)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def flat(read: Read, file: str) -> dict[str, int] | None:
    """Return the numbers of a flat keyed file by key, None where the group has no such file.

    A reader that may have them parsed has a method for it, which gives None where it has not.
    """
    parsed: Callable[[str], dict[str, int] | None] | None = getattr(read, "flat", None)
    found = None if parsed is None else parsed(file)
    return told(read, file, formats.flat) if found is None else found


def single(read: Read, file: str) -> int | None:
    """Return the number that a file is, None where the group has no such file; as `flat` does."""
    parsed: Callable[[str], int | None] | None = getattr(read, "single", None)
    found = None if parsed is None else parsed(file)
    return told(read, file, formats.single) if found is None else found


def refuse(version: int, fields: dict[str, object], *, instead: str = "") -> None:
    """Raise `UnsupportedError` naming the first field that is given."""
    for field, value in fields.items():
        if value is not None:
            raise UnsupportedError(f"{field}: cgroup v{version} has no such limit{instead}")
