"""A plan: what C is given, and what a person reads."""

import pickle
import re
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsbox._native.operations import Operation
from nsbox.constants import (
    AtFlag,
    Capability,
    CloneFlag,
    ConfigCommand,
    MountAttribute,
    Propagation,
    UnmountFlag,
)
from nsbox.plan import SHOWN_BYTES, Plan, Slot, Step, encode

SHIM_H = (Path(__file__).parents[2] / "src/nsbox/_native/shim.h").read_text()
RECORD = struct.Struct("=qqqqqqq")  # struct nsbox_step


def decode(encoded):
    """Read an encoded plan as the C does: operations with their operands, text as bytes."""
    assert len(encoded.steps) == encoded.step_count * RECORD.size
    for code, *words in RECORD.iter_unpack(encoded.steps):
        operation, values = list(Operation)[code], []
        for _, kind in operation.operands:
            if kind == "text":
                start = words.pop(0)
                values.append(encoded.data[start : encoded.data.index(b"\0", start)])
            elif kind == "data":
                start, size = words.pop(0), words.pop(0)
                assert start + size <= len(encoded.data)
                values.append(encoded.data[start : start + size])
            elif kind != "shown":
                values.append(words.pop(0))
        assert not any(words)
        yield operation, values


def as_c_sees(step):
    """The operands that a decoded step must have: 64-bit words and bytes."""
    for (_, kind), value in zip(step.operation.operands, step.arguments, strict=True):
        if isinstance(value, int):
            yield struct.unpack("=q", struct.pack("=Q", value & (2**64 - 1)))[0]
        elif kind != "shown":
            yield value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


FLAGS = (AtFlag, Capability, CloneFlag, ConfigCommand, MountAttribute, Propagation, UnmountFlag)
numbers = st.integers(-(2**63), 2**64 - 1) | st.sampled_from(
    [member for flags in FLAGS for member in flags]
)
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
) | st.binary().map(lambda name: name.replace(b"\0", b"").decode(errors="surrogateescape"))
OPERANDS = {
    "slot": st.sampled_from(Slot),
    "into": st.sampled_from(Slot),
    "text": texts,
    "data": st.binary(max_size=100),
    "number": numbers,
    "shown": texts | st.lists(texts, max_size=4).map(tuple),
}


@st.composite
def any_step(draw):
    operation = draw(st.sampled_from(Operation))
    return Step(operation, tuple(draw(OPERANDS[kind]) for _, kind in operation.operands))


any_steps = st.lists(any_step(), max_size=12)


def test_a_record_is_laid_out_as_the_c_declares_it():
    declared = re.search(r"struct nsbox_step \{(.*?)\};", SHIM_H, re.DOTALL)
    assert declared is not None
    assert declared[1].split() == ["int64_t", "operation;", "int64_t", "operand[6];"]


@given(any_steps)
def test_what_c_reads_is_what_the_steps_say(steps):
    read = list(decode(encode(steps)))
    assert read == [(step.operation, list(as_c_sees(step))) for step in steps]


@given(any_steps)
def test_a_plan_prints_one_numbered_line_for_each_step(steps):
    lines = str(Plan(tuple(steps))).splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(steps)))
    assert all(f"{step.name}(" in line for step, line in zip(steps, lines, strict=True))


@given(any_step())
@example(Step(Operation.WRITE, ("/{bytes:data}", b"{path:text}")))
def test_a_printed_step_shows_each_operand_where_it_stands(step):
    text = str(step)
    assert text.isascii()
    assert text.isprintable()
    around = re.split(r"\{[^}]*\}", step.operation.template)
    at = 0
    for piece in around:
        at = text.index(piece, at) + len(piece)
    assert text.startswith(around[0])
    assert text.endswith(around[-1])


def test_text_in_the_shape_of_an_operand_is_printed_as_it_is():
    step = Step(Operation.WRITE, ("/{bytes:data}", b"{path:text}"))
    assert str(step) == 'write("/{bytes:data}", "{path:text}")'


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (0, 0),
        (-1, -1),
        (2**63 - 1, 2**63 - 1),
        (2**63, -(2**63)),
        (2**64 - 1, -1),
        (-(2**63), -(2**63)),
    ],
)
def test_numbers_keep_their_64_bits(number, word):
    assert list(decode(encode([Step(Operation.UMASK, (number,))]))) == [(Operation.UMASK, [word])]


@pytest.mark.parametrize("number", [2**64, 2**64 + 2**63 - 1, 2**70, -(2**63) - 1])
def test_numbers_beyond_64_bits_are_refused_and_never_cut(number):
    with pytest.raises(ValueError, match="64 bits"):
        encode([Step(Operation.UMASK, (number,))])


@given(st.lists(texts, min_size=1, max_size=5, unique=True))
def test_equal_texts_are_placed_once(paths):
    steps = [Step(Operation.CHDIR, (path,)) for path in paths * 3]
    encoded = encode(steps)
    assert len(encoded.data) == sum(len(p.encode(errors="surrogateescape")) + 1 for p in paths)
    assert encoded.steps == encode(steps[: len(paths)]).steps * 3


def test_null_bytes_are_refused_in_text_and_kept_in_data():
    with pytest.raises(ValueError, match="null byte"):
        encode([Step(Operation.CHDIR, ("/a\0b",))])
    step = Step(Operation.WRITE, ("/file", b"a\0b\0"))
    assert list(decode(encode([step]))) == [(Operation.WRITE, [b"/file", b"a\0b\0"])]


def test_a_step_with_too_few_or_too_many_arguments_is_refused():
    for arguments in ((), ("/a", "/b")):
        with pytest.raises(ValueError, match="argument"):
            encode([Step(Operation.CHDIR, arguments)])


def test_no_steps_are_a_plan_too():
    assert encode([]) == (b"", b"", 0, 0)
    assert str(Plan(())) == ""
    assert len(Plan(())) == 0


PRINTED = {
    "clone3(CLONE_NEWNS|CLONE_NEWPID)": Step(
        Operation.CLONE3, (CloneFlag.CLONE_NEWPID | CloneFlag.CLONE_NEWNS,)
    ),
    "clone3(0)": Step(Operation.CLONE3, (CloneFlag(0),)),
    "clone3(CLONE_NEWNS|0x1)": Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNS | 1,)),
    'tree = open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE|AT_RECURSIVE)': Step(
        Operation.OPEN_TREE,
        (Slot.TREE, Slot.CWD, "/usr", AtFlag.OPEN_TREE_CLONE | AtFlag.AT_RECURSIVE),
    ),
    'fsconfig(context, FSCONFIG_CMD_CREATE, "", "")': Step(
        Operation.FSCONFIG, (Slot.CONTEXT, ConfigCommand.FSCONFIG_CMD_CREATE, "", "")
    ),
    'mkdirat(root, "tmp", 01777)': Step(Operation.MKDIRAT, (Slot.ROOT, "tmp", 0o1777)),
    'sethostname("a \\"b\\" \\\\ \\n\\t")': Step(Operation.SETHOSTNAME, ('a "b" \\ \n\t',)),
    'chdir("/\\xe9")': Step(Operation.CHDIR, ("/é",)),
    'chdir("/\\udcff")': Step(Operation.CHDIR, (b"/\xff".decode(errors="surrogateescape"),)),
    'write("/f", "\\x00\\xff\\\\")': Step(Operation.WRITE, ("/f", b"\0\xff\\")),
    'execve("sh", ["sh", "-c", "exit 7"])': Step(Operation.EXECVE, ("sh", ("sh", "-c", "exit 7"))),
    "setsid()": Step(Operation.SETSID),
}


@pytest.mark.parametrize("text", PRINTED)
def test_a_step_prints_as_strace_would_print_it(text):
    assert str(PRINTED[text]) == text


def test_long_data_is_cut_in_print_only():
    step = Step(Operation.WRITE, ("/f", b"x" * (SHOWN_BYTES + 1)))
    assert str(step) == f'write("/f", "{"x" * SHOWN_BYTES}"...)'
    assert list(decode(encode([step]))) == [(Operation.WRITE, [b"/f", b"x" * (SHOWN_BYTES + 1)])]
    assert "..." not in str(Step(Operation.WRITE, ("/f", b"x" * SHOWN_BYTES)))


def test_a_step_knows_its_name_its_manual_page_and_its_file():
    step = PRINTED['tree = open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE|AT_RECURSIVE)']
    assert (step.name, step.reference, step.path) == ("open_tree", "open_tree(2)", "/usr")
    assert PRINTED['execve("sh", ["sh", "-c", "exit 7"])'].path == "sh"
    assert Step(Operation.SETSID).path is None


@given(any_steps, st.slices(12))
def test_a_plan_is_a_sequence_whose_slices_are_plans(steps, cut):
    plan = Plan(tuple(steps))
    assert list(plan) == steps
    assert len(plan) == len(steps)
    assert plan[cut] == Plan(tuple(steps[cut]))
    assert [plan[index] for index in range(len(plan))] == steps


@given(any_steps)
def test_a_plan_is_a_value(steps):
    plan = Plan(tuple(steps))
    assert plan == Plan(tuple(steps))
    assert hash(plan) == hash(Plan(tuple(steps)))
    assert pickle.loads(pickle.dumps(plan)) == plan
