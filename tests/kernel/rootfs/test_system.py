"""The host's system as a root, and the running interpreter in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, RootFS

PYTHON = BoxSpec(rootfs=RootFS.system(python=True))


def python(script: str, spec: BoxSpec = PYTHON) -> str:
    done = nsbox.run([sys.executable, "-c", script], spec, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_the_running_interpreter_finds_what_it_has_outside() -> None:
    script = "import sys, nsbox, attrs; print(sys.prefix, sys.base_prefix, nsbox.__file__, attrs.__file__)"
    import attrs

    expected = [sys.prefix, sys.base_prefix, nsbox.__file__, attrs.__file__]
    assert python(script).split() == expected


def test_it_is_read_only() -> None:
    script = (
        "import nsbox, sys\n"
        "for place in (sys.prefix, nsbox.__file__ + '.new'):\n"
        "    try: open(place + '/x', 'w')\n"
        "    except OSError as error: print(error.errno in (30, 20, 2))\n"
    )
    assert python(script).split() == ["True", "True"]


def test_nobodys_home_is_shown_as_a_whole() -> None:
    home = Path.home()
    names = python(f"import os; print(*os.listdir({str(home)!r}))" if home.exists() else "").split()
    assert set(names) <= set(os.listdir(home)) if names else True
    assert ".bashrc" not in names


def test_what_the_import_path_gains_is_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fresh_module.py").write_text("WORD = 'found'\n")
    assert python("print(1)") == "1\n"
    monkeypatch.syspath_prepend(tmp_path)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fresh_module; print(fresh_module.WORD)"
    assert python(script) == "found\n"


def test_a_package_that_an_editable_install_maps_is_there(tmp_path: Path) -> None:
    """As setuptools does it: a finder among sys.meta_path with a table of its own."""
    (tmp_path / "mapped").mkdir()
    (tmp_path / "mapped/__init__.py").write_text("")
    script = (
        "import sys, types, nsbox\n"
        "module = types.ModuleType('__editable___mapped_finder')\n"
        "module.MAPPING = {'mapped': sys.argv[1]}\n"
        "class Finder:\n"
        "    __module__ = module.__name__\n"
        "    @classmethod\n"
        "    def find_spec(cls, *args): return None\n"
        "sys.modules[module.__name__] = module\n"
        "sys.meta_path.append(Finder)\n"
        "spec = nsbox.BoxSpec(rootfs=nsbox.RootFS.system(python=True))\n"
        "sys.exit(nsbox.run(['ls', sys.argv[1]], spec).returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "mapped")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["__init__.py"]


def test_without_it_the_interpreters_folders_are_not_there() -> None:
    if sys.prefix.startswith("/usr"):
        pytest.skip("this interpreter is the host's own")
    done = nsbox.run(["ls", sys.prefix], capture_output=True)
    assert done.returncode != 0
