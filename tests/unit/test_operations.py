"""The one list of operations, and what is made from it."""

import re
from pathlib import Path

import pytest

from nsbox._native.operations import Operation, c_header
from nsbox.constants import CloneFlag
from nsbox.plan import Slot, Step

STEPS_C = (Path(__file__).parents[2] / "src/nsbox/_native/steps.c").read_text()
KINDS = {"slot", "into", "text", "data", "number", "shown"}
WORDS = {"data": 2, "shown": 0}
EXAMPLES = {
    "slot": Slot.ROOT,
    "into": Slot.TREE,
    "text": "some/path",
    "data": b"bytes\0and more",
    "number": CloneFlag.CLONE_NEWNS,
    "shown": ("a", "b"),
}

every_operation = pytest.mark.parametrize("operation", Operation, ids=lambda item: item.name)


@every_operation
def test_an_operation_answers_to_a_manual_page(operation):
    assert re.fullmatch(r"[a-zA-Z0-9_]+\([2-8](const|type)?\)", operation.reference)


@every_operation
def test_an_operation_is_named_as_its_system_call(operation):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", operation.syscall)


@every_operation
def test_the_operands_of_an_operation_fit_into_a_record(operation):
    kinds = [kind for _, kind in operation.operands]
    assert set(kinds) <= KINDS
    assert sum(WORDS.get(kind, 1) for kind in kinds) <= 6


@every_operation
def test_the_operands_of_an_operation_have_names_of_their_own(operation):
    names = [name for name, _ in operation.operands]
    assert len(names) == len(set(names))


@every_operation
def test_a_template_holds_nothing_in_braces_but_operands(operation):
    assert operation.template.count("{") == len(operation.operands)
    assert operation.template.count("}") == len(operation.operands)


@every_operation
def test_a_step_of_an_operation_prints_without_braces(operation):
    step = Step(operation, tuple(EXAMPLES[kind] for _, kind in operation.operands))
    assert "{" not in str(step)
    assert "}" not in str(step)
    assert f"{step.name}(" in str(step)


@every_operation
def test_the_interpreter_carries_out_an_operation(operation):
    assert len(re.findall(rf"\bcase OP_{operation.name}:", STEPS_C)) == 1


def test_the_interpreter_has_no_case_beyond_the_list():
    assert set(re.findall(r"\bcase OP_(\w+):", STEPS_C)) == {item.name for item in Operation}


def test_no_two_operations_are_written_alike():
    assert len({item.template for item in Operation}) == len(Operation)
    assert len(Operation) == len(Operation.__members__)


def test_the_c_enumeration_lists_every_operation_in_the_order_of_its_codes():
    members = re.findall(r"\bOP_(\w+),", c_header())
    assert members == [item.name for item in Operation]
    assert [Operation[name].code for name in members] == list(range(len(members)))
