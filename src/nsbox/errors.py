"""What can go wrong, drawn as a tree.

    NsboxError
    ├── UnsupportedError     this host cannot do it at all: said before anything was touched
    ├── ImageError           an image is not what it says, or holds what none may; names the entry
    ├── StepError            a step of a plan failed; also an OSError, of the subclass its errno has
    ├── WorkerDied           a worker of an executor ended before it had answered its call
    └── RemoteError          an exception of such a call that could not be brought over, in words

Nonsense in a value is a `ValueError` that names the field; a command that ran too long or failed
under ``check=True`` is subprocess's own `TimeoutExpired` or `CalledProcessError`.
"""

import os
import subprocess
from typing import Any, Protocol


class NsboxError(Exception):
    """The root of what this package raises of its own."""


class UnsupportedError(NsboxError):
    """This host, kernel or caller cannot do what was asked; the message says what would help."""


class ImageError(NsboxError):
    """An image is not what it says it is, or holds what no image may hold.

    `layer` is the digest of the layer and `entry` the name in it that it was about, or None.
    """

    def __init__(self, reason: str, *, layer: str | None = None, entry: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.layer, self.entry = reason, layer, entry

    def __str__(self) -> str:
        where = [f"layer {self.layer}"] if self.layer else []
        where += [f"entry {self.entry!r}"] if self.entry is not None else []
        return f"{', '.join(where)}: {self.reason}" if where else self.reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_image_error, (self.reason, self.layer, self.entry)


def _rebuild_image_error(reason: str, layer: str | None, entry: str | None) -> ImageError:
    return ImageError(reason, layer=layer, entry=entry)


class WorkerDied(NsboxError):  # noqa: N818 - it says what happened
    """A worker of a `BoxExecutor` ended before it had answered its call; other calls go on.

    `returncode` is that of its process, negative where a signal ended it, or None where that is
    not known.
    """

    returncode: int | None

    def __init__(self, message: str, returncode: int | None = None) -> None:
        super().__init__(message, returncode)
        self.returncode = returncode

    def __str__(self) -> str:
        return str(self.args[0])


class RemoteError(NsboxError):
    """A call of a `BoxExecutor` raised what could not be brought over: here it is in words.

    That is an exception that pickle cannot take, or whose class the caller cannot have. Its
    `__cause__` shows the traceback.
    """


class OutputExceeded(NsboxError, subprocess.SubprocessError):  # noqa: N818 - as TimeoutExpired
    """A command wrote more than `output_max` bytes to its pipes.

    `cmd` is the command, `output` and `stderr` what was read by then: bytes, None without a pipe.
    """

    def __init__(
        self, cmd: Any, output_max: int, output: bytes | None = None, stderr: bytes | None = None
    ) -> None:
        super().__init__(cmd, output_max, output, stderr)
        self.cmd, self.output_max, self.output, self.stderr = cmd, output_max, output, stderr

    @property
    def stdout(self) -> bytes | None:
        """The same as `output`."""
        return self.output

    def __str__(self) -> str:
        return f"Command '{self.cmd}' wrote more than {self.output_max} bytes"


class FailedStep(Protocol):
    """What an error needs to know of a step."""

    @property
    def name(self) -> str:
        """The system call."""

    @property
    def path(self) -> str | None:
        """The file it was about."""

    @property
    def reference(self) -> str:
        """Its manual page."""


class StepError(NsboxError, OSError):
    """A step of a plan failed. Nothing of the box is left, and the caller is as it was.

    `step` is the step (its name, arguments and manual reference), `index` its place in the plan,
    `errno` the kernel's answer, `box` the host name of the box, `hint` what is likely missing and
    how to get it, where that is known.
    """

    step: Any
    index: int
    box: str | None
    hint: str | None

    @classmethod
    def of(
        cls, step: FailedStep, errno: int, index: int, *, box: str | None, hint: str | None
    ) -> "StepError":
        """Make the error of the class that belongs to `errno`, so that ``except OSError`` works."""
        error = _CLASSES.get(errno, cls)(errno, os.strerror(errno), step.path)
        error.step, error.index, error.box, error.hint = step, index, box, hint
        return error

    def __str__(self) -> str:
        where = f" of box {self.box!r}" if self.box else ""
        text = f"step {self.index}{where} failed: {self.step}: {self.strerror}"
        text += f" (see {self.step.reference})"
        return f"{text}\n{self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.step, self.errno, self.index, self.box, self.hint)


def _rebuild(
    step: FailedStep, errno: int, index: int, box: str | None, hint: str | None
) -> StepError:
    return StepError.of(step, errno, index, box=box, hint=hint)


def _classes() -> dict[int, type[StepError]]:
    """For each errno that has a class in the standard library, a StepError of that class too."""
    made: dict[type[OSError], type[StepError]] = {}
    classes = {}
    for number in range(1, 134):
        standard = type(OSError(number, ""))
        if standard is OSError:
            continue
        if standard not in made:
            made[standard] = type(
                "StepError", (StepError, standard), {"__doc__": StepError.__doc__}
            )
        classes[number] = made[standard]
    return classes


_CLASSES = _classes()
