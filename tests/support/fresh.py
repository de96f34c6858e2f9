"""A script in an interpreter of its own, for what a test must not change in that of all tests."""

import subprocess
import sys


def run_afresh(script: str) -> str:
    """Run it, a minute at most, and return what it has printed. Raises `AssertionError`."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
