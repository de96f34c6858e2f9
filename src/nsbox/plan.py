"""A plan: the flat list of steps from a spec to a box, printable before anything is done."""

import enum
import functools
import re
import struct
from collections.abc import Iterator, Sequence
from typing import overload

import attrs

from nsbox._native import SLOTS
from nsbox._native.operations import Operation
from nsbox._native.values import Encoded
from nsbox.constants import AT_FDCWD
from nsbox.display import Displayed, Printed

Operand = int | str | bytes | tuple[str, ...]


class Slot(enum.IntEnum):
    """Where a plan keeps the descriptors that it works with.

    Those from 0 on are given by the caller; the numbers of the first seven are those of ``page.h``.
    The next are the first process of a box, and the namespaces of each kind, to be joined; then a
    socket that takes a terminal to the caller, the user namespaces that mounts are mapped by, a
    socket for a command that comes later, one that takes a filter's listener to the caller, one
    where it is waited for a word, who gives that, and what is passed to the command. Those from
    `HELD_1` on are the steps' own.
    """

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    PAGE = 3
    OWNER = 4
    INIT = 5
    MAKER = 6
    BOX = 7
    NS_CGROUP = 8
    NS_IPC = 9
    NS_MNT = 10
    NS_NET = 11
    NS_PID = 12
    NS_TIME = 13
    NS_USER = 14
    NS_UTS = 15
    TERMINAL = 16
    IDMAP_1 = 17
    IDMAP_2 = 18
    IDMAP_3 = 19
    IDMAP_4 = 20
    PARKED = 21
    NOTIFY = 22
    LISTENER = 23
    WORD = 24
    PASSED = 25
    HELD_1 = SLOTS - 14
    HELD_2 = SLOTS - 13
    HELD_3 = SLOTS - 12
    HELD_4 = SLOTS - 11
    FOLDER = SLOTS - 10
    LAYERS = SLOTS - 9
    UPPER = SLOTS - 8
    EMPTY = SLOTS - 7
    MOUNT = SLOTS - 6
    CGROUP = SLOTS - 5
    STAGE = SLOTS - 4
    CONTEXT = SLOTS - 3
    TREE = SLOTS - 2
    ROOT = SLOTS - 1
    CWD = AT_FDCWD


@attrs.frozen(repr=False)
class Step(Displayed):
    """One step: a system call with its arguments. `str()` gives it as strace(1) would print it."""

    operation: Operation
    arguments: tuple[Operand, ...] = ()

    @property
    def name(self) -> str:
        """The system call, as its manual page is named: ``mount_setattr``, ``execve`` ..."""
        return self.operation.syscall

    @property
    def reference(self) -> str:
        """The manual page that this step answers to, such as ``pivot_root(2)``."""
        return self.operation.reference

    @property
    def path(self) -> str | None:
        """The file that it is about, if there is one."""
        for (operand, kind), value in zip(self.operation.operands, self.arguments, strict=True):
            if kind in ("text", "shown") and operand in ("path", "file"):
                return str(value)
        return None

    def __repr__(self) -> str:
        return f"<Step {self}>"  # and so no secret that is among the arguments

    def __str__(self) -> str:
        # In one pass, for a value may itself look like an operand.
        operands = zip(self.operation.operands, self.arguments, strict=True)
        shown = [_shown(operand, kind, value) for (operand, kind), value in operands]
        return _BRACES.sub(lambda _: shown.pop(0), self.operation.template)


@attrs.frozen(repr=False)
class Plan(Printed, Sequence[Step]):
    """The steps from a spec to a box, in order. Making or printing one changes nothing."""

    steps: tuple[Step, ...]

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> "Plan": ...
    def __getitem__(self, index: int | slice) -> "Step | Plan":
        return Plan(self.steps[index]) if isinstance(index, slice) else self.steps[index]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __str__(self) -> str:
        return "\n".join(f"{index:3d}  {step}" for index, step in enumerate(self.steps))

    def __repr__(self) -> str:
        return f"<Plan of {len(self)} steps>"


SHOWN_BYTES = 60
"""How much of a file's contents a printed plan shows."""

_BRACES = re.compile(r"\{[^}]*\}")
_STEP = struct.Struct("=7q")
_NO_OPERANDS = (0,) * 6


def encode(steps: Sequence[Step]) -> Encoded:
    """Encode steps for C: fixed records, whose text and data are offsets into one run of bytes."""
    data = bytearray()
    place = functools.partial(_place, data, {})
    records = bytearray()
    for step in steps:
        words: list[int] = []
        for (_, kind), value in zip(step.operation.operands, step.arguments, strict=True):
            if isinstance(value, int):
                words.append(_word(value))
            elif kind != "shown":
                words.extend(place(kind, value))
        records += _STEP.pack(step.operation.code, *words, *_NO_OPERANDS[len(words) :])
    return Encoded(bytes(records), bytes(data), len(steps))


def _word(value: int) -> int:
    """Return the signed word with the bits of a number; refuse one that would lose some."""
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"a number of 64 bits, not {value}")
    return value - (1 << 64) if value >= 1 << 63 else value


def _place(
    data: bytearray, placed: dict[Operand, int], kind: str, value: str | bytes | tuple[str, ...]
) -> tuple[int, ...]:
    """Put text or data among the plan's bytes, once, and return the words that refer to it."""
    content = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    if kind == "text" and b"\0" in content:
        raise ValueError(f"embedded null byte in {value!r}")
    offset = placed.get(value)
    if offset is None:
        offset = placed[value] = len(data)
        data += content + b"\0"
    return (offset,) if kind == "text" else (offset, len(content))


def _shown(operand: str, kind: str, value: Operand) -> str:
    if kind in ("slot", "into"):
        return "AT_FDCWD" if value == AT_FDCWD else Slot(value).name.lower()  # type: ignore[arg-type]
    if isinstance(value, enum.IntFlag):
        return _shown_flags(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int):
        return f"0{value:o}" if operand == "mode" else str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    if isinstance(value, bytes) and operand in ("groups", "numbers"):
        return str(memoryview(value[: len(value) // 4 * 4]).cast("I").tolist())
    if isinstance(value, bytes) and operand == "secret":
        return f"{len(value)} bytes"
    if isinstance(value, bytes):
        more = "..." if len(value) > SHOWN_BYTES else ""
        return _quoted(value[:SHOWN_BYTES].decode("latin-1")) + more  # byte by byte
    return _quoted(value)


def _shown_flags(value: enum.IntFlag) -> str:
    """Name each flag; bits that have no name here are shown as a number."""
    names = [str(flag.name) for flag in value]
    rest = int(value) & ~sum(value)
    return "|".join([*names, *([hex(rest)] if rest else [])]) or "0"


def _quoted(text: str) -> str:
    escaped = text.encode("unicode_escape").decode().replace('"', '\\"')
    return f'"{escaped}"'
