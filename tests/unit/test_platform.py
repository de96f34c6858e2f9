"""What a user of another operating system is told."""

import subprocess
import sys
from pathlib import Path

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


SETUP = Path(__file__).parents[2] / "setup.py"


@pytest.mark.skipif(not SETUP.exists(), reason="needs the sources: there is no setup.py here")
def test_a_free_threaded_interpreter_gets_one_clear_sentence():
    script = (
        "import runpy, sys, sysconfig\n"
        "sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
        "runpy.run_path(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(SETUP)], capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("needs setuptools 77")
    assert done.returncode == 1
    assert "free-threaded" in done.stderr
    assert "Traceback" not in done.stderr
