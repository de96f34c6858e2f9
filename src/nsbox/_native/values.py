"""What goes in at the door to C and comes out, as plain values."""

from typing import NamedTuple


class Encoded(NamedTuple):
    """A plan in the form that C reads; the first steps are `checks`, whether it still holds."""

    steps: bytes
    data: bytes
    step_count: int
    checks: int = 0


class Outcome(NamedTuple):
    """How far a launch has got: the step, and its errno if it has failed."""

    step: int
    error: int


class Told(NamedTuple):
    """What a box has come to: ``struct nsbox_told`` in shim.h."""

    ended: int
    code: int
    step: int
    error: int
    user_us: int
    system_us: int
    peak_bytes: int
    group_peak_bytes: int
    killed: int
    groups_left: int
    wall_us: int

    @classmethod
    def of(cls, figures: bytearray) -> "Told":
        """Read that struct."""
        return cls(*memoryview(figures).cast("q"))


class Ending(NamedTuple):
    """What is done with the groups of a box at its end, which is part of the wait for that.

    `texts` begin with `folders` paths, of what is removed; `peak` and `kills` are where among them
    the paths of files begin that are read before. Each path ends with a NUL.
    """

    texts: bytes = b""
    folders: int = 0
    peak: int | None = None
    kills: int | None = None
