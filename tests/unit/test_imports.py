"""What is loaded, and when: modules named, as a clock would fail on a slow machine.

`benchmarks/imports.py` measures what they cost.
"""

import subprocess
import sys
from pathlib import Path

from first import FIRST

HEAVY = {
    "IPython", "asyncio", "attr", "attrs", "cffi", "concurrent", "ctypes", "email", "hashlib",
    "http", "inspect", "json", "logging", "multiprocessing", "pyroute2", "pytest", "socket", "ssl",
    "subprocess", "tarfile", "tempfile", "typing_extensions", "unittest", "urllib", "zipfile",
}  # fmt: skip
SHIM = FIRST | {"nsbox", "_cffi_backend"}


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("loaded: "))
    return set(line.split()[1:])


def loaded_by_script(script: str) -> set[str]:
    told = "import sys; print('loaded:', *sys.modules)"
    return loaded_by("-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}\n{told}")


def families(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_the_package_loads_its_c_and_nothing_that_is_slow():
    bare, ours = loaded_by_script("pass"), loaded_by_script("import nsbox")
    assert {name for name in ours if name.startswith("nsbox")} <= SHIM
    assert families(ours - bare) & HEAVY == set()


def test_a_first_run_loads_no_more_than_it_needs():
    loaded = loaded_by_script("import nsbox; nsbox.run; nsbox.BoxSpec(); nsbox.BoxSpec().start")
    base = loaded_by_script("import attrs, pathlib, socket, subprocess, threading")
    assert families(loaded - base) & HEAVY == set()
    for late in ("aio", "executor", "image", "network", "oci", "testing", "watching"):
        assert not any(name.startswith(f"nsbox.{late}") for name in loaded)


def test_a_run_of_pytest_that_does_not_use_the_plugin_loads_only_the_plugin(tmp_path: Path):
    file = tmp_path / "test_nothing.py"
    file.write_text("import sys\n\ndef test_nothing():\n    print('\\nloaded:', *sys.modules)\n")
    options = ["-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    run = [*options, "--rootdir", str(tmp_path), str(file)]
    with_it = loaded_by(*run)
    without = loaded_by(*run, "-p", "no:nsbox.pytest_plugin")
    assert "nsbox.pytest_plugin" in with_it
    assert "nsbox.pytest_plugin" not in without
    assert with_it - without <= SHIM | {"nsbox.pytest_plugin"}
