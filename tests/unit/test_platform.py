"""What a user of another operating system is told."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.platform = {platform!r}
before = set(sys.modules)
try:
    import nsbox
except ImportError as error:
    print(error)
print(sorted(set(sys.modules) - before))
"""


def import_on(platform):
    """Import the package in an interpreter that takes itself for one of another system."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(platform=platform)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14", "cygwin"])
def test_another_system_gets_one_clear_sentence_and_nothing_is_loaded(platform):
    sentence, loaded = import_on(platform)
    assert "nsbox" in sentence
    assert "Linux" in sentence
    assert platform in sentence
    assert "WSL 2" in sentence
    assert "Lima" in sentence
    assert loaded == "[]"


def test_linux_gets_the_package():
    (loaded,) = import_on("linux")
    assert "'nsbox._native._shim'" in loaded
