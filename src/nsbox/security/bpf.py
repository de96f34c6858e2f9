"""Filters of system calls as classic BPF programs: seccomp(2), Documentation/networking/filter.rst.

A program is put together from blocks, each of which answers for some system calls and falls through
for all others, so that no jump leaves its block.
"""

import struct
from collections.abc import Iterable, Sequence

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS: a word of struct seccomp_data
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: the most that the kernel takes."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant: struct sock_filter."""

Test = tuple[int, str, int, int]
"""An argument's index, a comparison (a key of `COMPARISONS`), the value, the mask."""


def encode(program: Sequence[Instruction]) -> bytes:
    """Encode a program as an array of struct sock_filter."""
    return b"".join(
        struct.pack("=HBBI", code, if_true, if_false, constant & 0xFFFFFFFF)
        for code, if_true, if_false, constant in program
    )


def result(action: int) -> Instruction:
    """Return a SECCOMP_RET_* value."""
    return _RETURN, 0, 0, action


def require_architecture(architecture: int, otherwise: int) -> list[Instruction]:
    """Refuse the system calls of another architecture, whose numbers mean other calls."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        result(otherwise),
    ]


def load_number() -> Instruction:
    """Have the system call's number at hand for the blocks to come."""
    return _LOAD, 0, 0, _NUMBER


def at_least(number: int, action: int) -> list[Instruction]:
    """Answer for all numbers from one on."""
    return [(_AT_LEAST, 0, 1, number), result(action)]


def between(first: int, last: int, action: int) -> list[Instruction]:
    """Answer for a range of numbers."""
    if first == last:
        return [(_EQUAL, 0, 1, first), result(action)]
    return [(_AT_LEAST, 0, 2, first), (_GREATER, 1, 0, last), result(action)]


def one(
    number: int, rules: Iterable[tuple[Sequence[Test], int]], default: int
) -> list[Instruction]:
    """Answer for one number by the first rule whose tests all hold, or by a default."""
    body: list[Instruction] = []
    for tests, action in rules:
        checks = [_check(test) for test in tests]
        length = sum(len(check(0, 0)) for check in checks)
        for check in checks:
            start = len(check(0, 0))
            length -= start
            body += check(0, length + 1)  # past the other checks and the action
        body.append(result(action))
    body.append(result(default))
    return [(_EQUAL, 1, 0, number), (_JUMP, 0, 0, len(body)), *body]


def _check(test: Test) -> "_Check":
    index, comparison, value, mask = test
    return _Check(_ARGUMENTS + 8 * index, comparison, value, mask)


COMPARISONS = ("==", "!=", ">", ">=", "<", "<=", "&==")
"""How an argument is compared with a value; ``&==``: what a mask leaves of it."""


class _Check:
    """A comparison of a 64-bit argument, in halves: goes on where it holds, jumps where not."""

    def __init__(self, offset: int, comparison: str, value: int, mask: int) -> None:
        # Little-endian, as all architectures are that this package knows.
        self._low, self._high = (_LOAD, 0, 0, offset), (_LOAD, 0, 0, offset + 4)
        self._comparison = comparison
        self._value = value & 0xFFFFFFFF, value >> 32
        self._mask = mask & 0xFFFFFFFF, mask >> 32

    def __call__(self, holds: int, fails: int) -> list[Instruction]:
        """Return the instructions; jumps are counted from their end."""
        low, high = self._value
        match self._comparison:
            case "&==":
                return [
                    self._low,
                    (_AND, 0, 0, self._mask[0]),
                    (_EQUAL, 0, 3 + fails, low),
                    self._high,
                    (_AND, 0, 0, self._mask[1]),
                    (_EQUAL, holds, fails, high),
                ]
            case "==":
                return [
                    self._low,
                    (_EQUAL, 0, 2 + fails, low),
                    self._high,
                    (_EQUAL, holds, fails, high),
                ]
            case "!=":
                return [
                    self._low,
                    (_EQUAL, 0, 2 + holds, low),
                    self._high,
                    (_EQUAL, fails, holds, high),
                ]
            case ">" | ">=":
                return self._order(_GREATER if self._comparison == ">" else _AT_LEAST, holds, fails)
            case "<":
                return self._order(_AT_LEAST, fails, holds)
            case "<=":
                return self._order(_GREATER, fails, holds)
        raise ValueError(f"comparison: one of {', '.join(COMPARISONS)}, not {self._comparison!r}")

    def _order(self, compare: int, above: int, below: int) -> list[Instruction]:
        low, high = self._value
        return [
            self._high,
            (_GREATER, 3 + above, 0, high),
            (_EQUAL, 0, 2 + below, high),
            self._low,
            (compare, above, below, low),
        ]
