"""Carrying out, from Python, the steps that make a group or change its limits."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable

from nsbox import hints
from nsbox._native.operations import Operation
from nsbox.cgroup import files, owner
from nsbox.cgroup.controllers import cpuset
from nsbox.errors import StepError, UnsupportedError
from nsbox.perform import perform as performed
from nsbox.plan import Step


def perform(steps: Iterable[Step], field_of: Callable[[Step], str | None]) -> list[str]:
    """Carry out steps; returns the folders made. What was made is gone again if one fails.

    `field_of` tells which field of `Resources` a step is for. Raises `UnsupportedError`
    naming the field where the kernel lacks its file, `StepError` for what else fails.
    """
    made: list[str] = []
    try:
        for index, step in enumerate(steps):
            _perform(step, index, field_of, made)
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise
    return made


def _perform(
    step: Step, index: int, field_of: Callable[[Step], str | None], made: list[str]
) -> None:
    path = step.path
    assert path is not None
    try:
        if step.operation is Operation.MKDIR:
            mode = step.arguments[1]
            assert isinstance(mode, int)
            with owner.claimed(path):
                os.mkdir(path, mode)
                made.append(path)
                owner.mark(path)
        elif step.operation is Operation.BPF_DEVICES:
            performed([step])
        else:
            data = step.arguments[1]
            assert isinstance(data, bytes)
            files.write(path, data.decode())
            _check_partition(path)
    except OSError as error:
        field = field_of(step) if step.operation is Operation.WRITE else None
        if error.errno == errno.ENOENT and field is not None and os.path.isdir(_folder(path)):
            raise UnsupportedError(
                f"{field}: this kernel has no {os.path.basename(path)} for this group"
            ) from None
        assert error.errno is not None
        hint = f"hint: it is what {field} asks for" if field else hints.hint(step, error.errno)
        raise StepError.of(step, error.errno, index, box=None, hint=hint) from None


def _check_partition(path: str) -> None:
    """Look at what came of a partition: the kernel takes one that is invalid without an error."""
    if os.path.basename(path) != cpuset.PARTITION:
        return
    reason = cpuset.why_invalid(files.read(path) or "")
    if reason is not None:
        raise UnsupportedError(f"cpuset_cpus_partition: {reason}")


def _folder(path: str) -> str:
    return os.path.dirname(path)
