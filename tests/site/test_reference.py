"""The reference has nothing missing: its index, held against the public names."""

import importlib
import inspect
from pathlib import Path

import attrs
import pytest

import nsbox

inventory = pytest.importorskip("sphinx.util.inventory", reason="needs the extra nsbox[docs]")

MODULES = (
    "nsbox",
    "nsbox.aio",
    "nsbox.dask",
    "nsbox.fleet",
    "nsbox.host",
    "nsbox.image",
    "nsbox.network",
    "nsbox.oci",
    "nsbox.security",
)
KINDS = (property, classmethod, staticmethod)
INTERNAL = {
    "nsbox.BoxSpec.options": "how the package itself merges a command's wishes with a spec's",
    "nsbox.StepError.of": "the package itself makes it",
}


@pytest.fixture(scope="session")
def index(site: Path) -> set[str]:
    """Read what the pages can be asked for by name."""
    with (site / "objects.inv").open("rb") as file:
        found = inventory.InventoryFile.load(file, "", lambda *parts: parts[-1])
    return {name for kind, names in found.items() if kind.startswith("py:") for name in names}


def public(module: str) -> dict[str, object]:
    """The names of a module, without those that the face has too: they are told of there."""
    found = importlib.import_module(module)
    names = [name for name in found.__all__ if found is nsbox or name not in nsbox.__all__]
    names += [name for name in found.__all__ if name not in names and not _is_same(found, name)]
    return {f"{module}.{name}": getattr(found, name) for name in names}


def _is_same(module: object, name: str) -> bool:
    return getattr(module, name) is getattr(nsbox, name, None)


def members(full: str, kind: type) -> set[str]:
    """What a class of ours has of its own: methods, properties, and the fields of a value."""
    own = {
        name
        for name, member in vars(kind).items()
        if not name.startswith("_") and (isinstance(member, KINDS) or inspect.isfunction(member))
    }
    if attrs.has(kind):
        own |= {
            field.name
            for field in attrs.fields(kind)
            if not field.inherited and not field.name.startswith("_")
        }
    return {f"{full}.{name}" for name in own} - INTERNAL.keys()


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module: str, index: set[str]) -> None:
    assert sorted(public(module).keys() - index) == []


@pytest.mark.parametrize("module", MODULES)
def test_every_member_of_a_public_class_is_in_the_reference(module: str, index: set[str]) -> None:
    wanted: set[str] = set()
    for full, value in public(module).items():
        if inspect.isclass(value):
            wanted |= members(full, value)
    assert sorted(wanted - index) == []


def test_the_modules_of_the_face_are_all_looked_at() -> None:
    assert {f"nsbox.{name}" for name in nsbox._SUBMODULES} <= set(MODULES)


@pytest.mark.parametrize("fixture", ["box", "box_factory", "machines", "cgroup", "netns"])
def test_every_fixture_is_in_the_reference(fixture: str, index: set[str]) -> None:
    assert f"nsbox.pytest_plugin.{fixture}" in index
