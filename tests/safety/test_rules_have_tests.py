"""The table of rules in docs/security.md names tests that there are."""

import ast
import re
import runpy
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs/security.md"
ROWS = 20


def rules() -> list[tuple[str, str]]:
    """Each rule and the cell with its tests."""
    section = DOCUMENT.read_text().partition("## Rules")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return [(rule, tests) for _, rule, tests in rows[2:]]


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}


def test_each_rule_has_a_test_that_there_is() -> None:
    found = rules()
    assert len(found) == ROWS
    for rule, cell in found:
        tests = re.findall(r"`(\S+)::(\w+)`", cell)
        assert tests, rule
        for path, name in tests:
            assert name in functions(TESTS / path), f"{path}::{name}"


def test_what_a_mutation_takes_out_is_in_the_sources() -> None:
    found = runpy.run_path(str(Path(__file__).with_name("mutations.py")))
    for mutation in found["MUTATIONS"]:
        for name, old, _ in mutation.patches:
            text = (TESTS.parent / found["SOURCES"] / name).read_text()
            assert old == "chmod" or old in text, f"{mutation.rule}: {name}"
