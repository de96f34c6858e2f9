"""Interpreters within a process: those that share the GIL work, others are refused with a sentence."""

import subprocess
import sys

import pytest

USE = (
    "import nsbox\n"
    "assert nsbox.run(['echo', 'inside'], capture_output=True).stdout == b'inside\\n'\n"
    "with nsbox.BoxSpec().start() as box:\n"
    "    assert box.run(['true']).returncode == 0\n"
)

SHARED = """
import sys
try:
    import _interpreters as interpreters
    made, told = interpreters.create("legacy"), interpreters.run_string
except ImportError:
    import _xxsubinterpreters as interpreters
    made, told = interpreters.create(isolated=False), interpreters.run_string
for _ in range(2):
    assert told(made, sys.argv[1]) is None
interpreters.destroy(made)
exec(sys.argv[1])
print("both")
"""

APART = """
import sys
import _interpreters as interpreters
made = interpreters.create("isolated")
failed = interpreters.run_string(made, sys.argv[1])
print(failed.type.__name__, failed.msg)
interpreters.destroy(made)
exec(sys.argv[1])
"""


def python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, USE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_that_shares_the_gil_has_boxes() -> None:
    assert python(SHARED) == "both\n"


def test_one_with_a_gil_of_its_own_is_refused_with_a_sentence() -> None:
    if sys.version_info < (3, 13):
        pytest.skip("needs CPython 3.13, where such interpreters can be made")
    assert python(APART).startswith(
        "ImportError nsbox cannot be used in a subinterpreter that has a"
    )
