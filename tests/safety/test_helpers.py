"""No program with more rights than its caller's is part of this, and no file at a name to be guessed."""

import ast
import os
import stat
import tempfile
from pathlib import Path

import pytest

import nsbox

PACKAGE = Path(nsbox.__file__).parent


def test_nothing_in_the_package_sets_ids_or_has_capabilities() -> None:
    files = [path for path in PACKAGE.rglob("*") if not path.is_symlink()]
    assert len(files) > 50
    for path in files:
        assert not path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) or path.is_dir(), path
        assert "security.capability" not in os.listxattr(path), path


def test_the_only_programs_started_on_the_host_are_the_distributions_own() -> None:
    """The only one with rights is newuidmap or newgidmap; a way out of a network has none.

    Beside them: the hooks that the bundle of a container names.
    """
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name in ("build.py", "__main__.py"):  # the compiler; `true`, to compare with
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.id if isinstance(owner, ast.Name) else ""
                if (name, node.func.attr) in STARTS:
                    found.add(str(path.relative_to(PACKAGE)))
    assert found == {"namespace/ranges.py", "network/uplink.py", "oci/hooks.py"}


STARTS = {("subprocess", name) for name in ("run", "Popen", "call", "check_call", "check_output")}
STARTS |= {("os", name) for name in ("system", "popen", "execv", "execve", "execvp", "posix_spawn")}


@pytest.mark.parametrize("planted", ["folder", "link"])
def test_a_folder_that_somebody_has_made_beforehand_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """The names that would come next are taken; whoever has taken them gets nothing."""
    pytest.importorskip("pyroute2")
    from nsbox.network.names import HostsFile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = iter(["one", "two", "three"])
    monkeypatch.setattr(tempfile, "_name_sequence", names)
    with_prefix = HostsFile()
    prefix = Path(with_prefix.path).parent.name.removesuffix("one")
    with_prefix.close()
    trap = tmp_path / f"{prefix}two"
    canary = tmp_path / "canary"
    canary.mkdir()
    if planted == "folder":
        trap.mkdir(mode=0o777)
        (trap / "hosts").write_text("theirs")
    else:
        trap.symlink_to(canary)
    made = HostsFile()
    try:
        folder = Path(made.path).parent
        assert folder.name == f"{prefix}three"
        assert folder.stat().st_uid == os.geteuid()
        assert not folder.stat().st_mode & 0o022
    finally:
        made.close()
    assert list(canary.iterdir()) == []
    assert planted == "link" or (trap / "hosts").read_text() == "theirs"
