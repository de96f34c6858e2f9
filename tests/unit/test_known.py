"""Which commands are known again, and by what."""

import os
from pathlib import Path
from typing import Any

import pytest

from nsbox import BoxSpec
from nsbox.known import MOST, Key, Known


class Text(str):
    """Whatever is more than a str may change what it is."""


@pytest.mark.parametrize(
    ("args", "env"),
    [
        ("true", None),
        ([], None),
        ([Path("/bin/true")], None),
        ([b"true"], None),
        ([Text("true")], None),
        (["true"], os.environ),
        (["true"], {"A": Text("b")}),
    ],
    ids=["text", "nothing", "a path", "bytes", "a kind of text", "an environment", "in it"],
)
def test_what_may_change_has_no_key(args: Any, env: Any) -> None:
    assert Key.of(BoxSpec(), args, env) is None


def test_a_key_is_of_what_was_given_then() -> None:
    args, env = ["a", "b"], {"A": "b"}
    key = Key.of(BoxSpec(), args, env)
    args.append("c")
    env["A"] = "c"
    assert key == Key(BoxSpec(), ("a", "b"), (("A", "b"),))
    assert key != Key.of(BoxSpec(), args, env)


def known_by(known: Known, spec: BoxSpec, *args: str) -> Any:
    found = known.glance(spec, list(args))
    return found and found[1]


def test_at_one_look_it_is_known_by_the_very_spec_of_its_last_run() -> None:
    known, lowered, command = Known(), object(), object()
    spec, equal = BoxSpec(), BoxSpec()
    given: Any = lowered, command
    known.note(Key(spec, ("a",)), *given)
    assert known_by(known, spec, "a") is command
    assert known_by(known, equal, "a") is None
    assert known.recall(Key(equal, ("a",)), given[0]) is command
    assert known_by(known, equal, "a") is command
    assert known_by(known, spec, "a") is None
    assert known.recall(Key(equal, ("a",)), Any) is None  # type: ignore[arg-type]


def test_other_variables_are_another_command() -> None:
    known, lowered, command = Known(), object(), object()
    given: Any = lowered, command
    spec = BoxSpec()
    known.note(Key(spec, ("a",), ()), *given)
    assert known_by(known, spec, "a") is None
    assert known.recall(Key(spec, ("a",)), given[0]) is None
    assert known.recall(Key(spec, ("a",), ()), given[0]) is command


def test_as_many_as_are_kept_may_take_turns() -> None:
    known, lowered, spec = Known(), object(), BoxSpec()
    commands = {str(number): object() for number in range(MOST)}
    for name, command in commands.items():
        given: Any = lowered, command
        known.note(Key(spec, (name,)), *given)
    for name, command in commands.items():
        assert known_by(known, spec, name) is command
        assert known.recall(Key(spec, (name,)), given[0]) is command
    known.note(Key(spec, ("one more",)), *given)
    assert known_by(known, spec, "0") is None
    known.clear()
    assert known_by(known, spec, "1") is None
    assert known.recall(Key(spec, ("1",)), given[0]) is None


def test_at_one_look_a_nul_is_no_end_of_an_argument() -> None:
    known, spec = Known(), BoxSpec()
    given: Any = object(), object()
    known.note(Key(spec, ("a", "b")), *given)
    assert known_by(known, spec, "a", "b") is given[1]
    assert known_by(known, spec, "a\0b") is None
