"""Filters of system calls as classic BPF programs: seccomp(2), Documentation/networking/filter.rst.

A program looks for the system call's number in a balanced tree of comparisons. Its leaves are
returns, or tests of arguments that end in returns, and what is the same is there once. Short
programs are soon installed: the kernel compiles each instruction, and runs a program for every
number that there is (kernel/seccomp.c, `seccomp_cache_prepare`).
"""

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS: a word of struct seccomp_data
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_WORD = 0xFFFFFFFF

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: the most that the kernel takes."""

COMPARISONS = ("==", "!=", ">", ">=", "<", "<=", "&==")
"""How an argument is compared with a value; ``&==``: what a mask leaves of it."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant: struct sock_filter."""

SIZE = struct.calcsize("=HBBI")
"""Bytes of one instruction."""

Test = tuple[int, str, int, int]
"""An argument's index, a comparison (one of `COMPARISONS`), the value, the mask."""

Rule = tuple[tuple[Test, ...], int]
"""Tests, and the SECCOMP_RET_* value where all of them hold."""

Answer = tuple[tuple[Rule, ...], int]
"""Rules, of which the first that fits decides, and the value where none does."""


def encode(program: Sequence[Instruction]) -> bytes:
    """Encode a program as an array of struct sock_filter."""
    return b"".join(
        struct.pack("=HBBI", code, if_true, if_false, constant)
        for code, if_true, if_false, constant in program
    )


def program(architecture: int, refused: int, answers: Mapping[int, Answer]) -> list[Instruction]:
    """Return the program that answers each number as the nearest key does that is no higher.

    One of the keys is 0. Calls of another architecture, whose numbers mean other calls, are
    answered with `refused`.
    """
    backwards = _Backwards()
    runs = itertools.groupby(sorted(answers.items()), key=lambda item: item[1])
    found = _search(backwards, [next(run) for _, run in runs])
    own = backwards.test(_ARCHITECTURE, _EQUAL, architecture, found, backwards.result(refused))
    return backwards.program(own)


class _Block(NamedTuple):
    """Instructions that end by jumps or a return: they never go on to what happens to follow."""

    place: int  # of the first, counted from the program's end
    word: int | None = None  # which of struct seccomp_data is to be loaded when it begins


class _Backwards:
    """A program that is put together from its end, block by block.

    Jumps lead forward only, so what one leads to is there already, and it is known how far that
    is. Where a conditional jump would not reach, it leads to a nearer jump or a copy of a return,
    which are put in before the next block, as nothing goes on to them but by jumps.
    """

    _REACH = 250  # a conditional jump's 255, less what may be put in for its other end

    def __init__(self) -> None:
        self._instructions: list[Instruction] = []  # the last one first
        self._blocks: dict[tuple[object, ...], _Block] = {}
        self._loads: dict[_Block, _Block] = {}
        self._nearest: dict[int, int] = {}

    def result(self, action: int) -> _Block:
        """Return a SECCOMP_RET_* value."""
        key = (_RETURN, action)
        if key not in self._blocks:
            self._blocks[key] = _Block(self._put(_RETURN, action))
        return self._blocks[key]

    def test(
        self,
        word: int,
        jump: int,
        constant: int,
        holds: _Block,
        fails: _Block,
        *,
        mask: int = _WORD,
    ) -> _Block:
        """Compare what a mask leaves of a word, and go on with one of two blocks."""
        if holds == fails:
            return holds
        key = (word, jump, constant, holds, fails, mask)
        if key not in self._blocks:
            at_hand = word if mask == _WORD else None
            if_true, if_false = (self._entry(block, at_hand) for block in (holds, fails))
            place = self._put(jump, constant, self._to(if_true), self._to(if_false))
            if mask != _WORD:
                place = self._put(_AND, mask)
            self._blocks[key] = _Block(place, word)
        return self._blocks[key]

    def loaded(self, block: _Block) -> _Block:
        """Have a block load its word first."""
        if block.word is None:
            return block
        if block not in self._loads:
            self._next_is(block.place)
            self._loads[block] = _Block(self._put(_LOAD, block.word))
        return self._loads[block]

    def program(self, start: _Block) -> list[Instruction]:
        """Return all of it, which begins with a block."""
        self._next_is(self.loaded(start).place)
        return self._instructions[::-1]

    def _entry(self, block: _Block, at_hand: int | None) -> int:
        """Return where a conditional jump leads to get to a block, with a word at hand."""
        place = block.place if block.word == at_hand else self.loaded(block).place
        near = self._nearest.get(place, place)
        if self._to(near) > self._REACH:
            code, *_, constant = self._instructions[place]
            is_return = code == _RETURN
            near = self._put(code, constant) if is_return else self._put(_JUMP, self._to(place))
            self._nearest[place] = near
        return near

    def _next_is(self, place: int) -> None:
        if self._to(place):
            self._put(_JUMP, self._to(place))

    def _to(self, place: int) -> int:
        """Return how far a place is from the instruction that is put next, as jumps count it."""
        return len(self._instructions) - 1 - place

    def _put(self, code: int, constant: int, if_true: int = 0, if_false: int = 0) -> int:
        self._instructions.append((code, if_true, if_false, constant))
        return len(self._instructions) - 1


def _search(backwards: _Backwards, answers: Sequence[tuple[int, Answer]]) -> _Block:
    """Look for a number in the runs that begin with each of these."""
    if len(answers) == 1:
        return backwards.loaded(_answer(backwards, *answers[0][1]))
    middle = len(answers) // 2
    above, below = _search(backwards, answers[middle:]), _search(backwards, answers[:middle])
    return backwards.test(_NUMBER, _AT_LEAST, answers[middle][0], above, below)


def _answer(backwards: _Backwards, rules: Sequence[Rule], otherwise: int) -> _Block:
    block = backwards.result(otherwise)
    for tests, action in reversed(rules):
        holds = backwards.result(action)
        for test in reversed(tests):
            holds = _argument(backwards, test, holds, block)
        block = holds
    return block


def _argument(backwards: _Backwards, test: Test, holds: _Block, fails: _Block) -> _Block:
    """Compare a 64-bit argument, in halves."""
    index, comparison, value, mask = test
    match comparison:
        case "==":
            return _argument(backwards, (index, "&==", value, _WORD << 32 | _WORD), holds, fails)
        case "!=":
            return _argument(backwards, (index, "==", value, mask), fails, holds)
        case "<":
            return _argument(backwards, (index, ">=", value, mask), fails, holds)
        case "<=":
            return _argument(backwards, (index, ">", value, mask), fails, holds)
    # Little-endian, as all architectures are that this package knows.
    low = _ARGUMENTS + 8 * index
    high = low + 4
    match comparison:
        case "&==":
            same = _half(backwards, high, value >> 32, mask >> 32, holds=holds, fails=fails)
            return _half(backwards, low, value & _WORD, mask & _WORD, holds=same, fails=fails)
        case ">" | ">=":
            jump = _GREATER if comparison == ">" else _AT_LEAST
            same = backwards.test(low, jump, value & _WORD, holds, fails)
            if value >> 32:
                same = backwards.test(high, _EQUAL, value >> 32, same, fails)
            return backwards.test(high, _GREATER, value >> 32, holds, same)
    raise ValueError(f"comparison: one of {', '.join(COMPARISONS)}, not {comparison!r}")


def _half(
    backwards: _Backwards, word: int, value: int, mask: int, *, holds: _Block, fails: _Block
) -> _Block:
    """Compare what a mask leaves of a word with a value, in as little as that takes."""
    if value & ~mask:
        return fails
    if not mask:
        return holds
    if not value:
        return backwards.test(word, _ANY_BIT, mask, fails, holds)
    return backwards.test(word, _EQUAL, value, holds, fails, mask=mask)
