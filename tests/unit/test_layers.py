"""Imports go down only: the picture of the layers, held against the source."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import nsbox

SOURCE = Path(nsbox.__file__).parent

# Lowest first. What stands together in a string is one unit and may import within itself; units of
# one layer do not know of each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "constants", "fields frozen", "sizes", "_native"),
    ("pipes", "procfs", "display"),
    ("beneath boxpath copying", "system_calls"),
    ("host", "caller", "usage", "progress"),
    ("plan hints perform zygote",),
    ("namespace", "cgroup", "beside"),
    ("rootfs", "security", "leftovers"),
    ("terminal options", "link", "publish", "reaping", "kernel_parameters", "memory_policy"),
    ("complete launch process straight", "task"),
    (
        "box commands kept known lower lowered origin parameters running scheduling sequence spec"
        " template",
    ),
    ("fleet", "ahead pool standing"),
    ("aio", "image", "executor", "network", "watching"),
    ("oci",),
    ("dask",),
    ("__init__ __main__", "pytest_plugin testing"),
)

# Imports inside functions, by (module, imported): each pays for itself only when it is needed.
LATE = {
    ("__init__", "importlib"): "names that load when first used",
    ("display", "importlib"): "only what is shown pays for being drawn",
    ("aio", "nsbox.fleet.awaited"): "one box does without",
    ("aio", "nsbox.fleet.fleet"): "one box does without",
    ("cgroup.cgroup", "nsbox.display.groups"): "only what is shown pays for being drawn",
    ("cgroup.cgroup", "nsbox.display.trees"): "only what is shown pays for being drawn",
    ("watching", "nsbox.display.watching"): "only what is shown pays for being drawn",
    ("executor.inside", "ctypes"): "only a worker that forks needs a call that Python has not",
    ("hints", "nsbox.host"): "only a failure pays for looking at the host",
    ("rootfs.root", "nsbox.rootfs.mounted"): "only who mounts a root needs what makes namespaces",
    ("pytest_plugin", "nsbox.testing.boxes"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.groups"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.machines"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.marked"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.marker"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.networks"): "pytest loads the plugin in every run",
    ("pytest_plugin", "nsbox.testing.reports"): "pytest loads the plugin in every run",
    ("security.seccomp", "nsbox.security.profiles"): "the lists are made of what it defines",
    ("network.netlink", "pyroute2"): "an extra, and slow to load",
    ("oci.net_devices", "nsbox.network"): "few containers have links of the host's",
    ("oci.net_devices", "nsbox.network.moved"): "few containers have links of the host's",
    ("spec", "nsbox.box"): "a command alone does without a box that stays",
    ("pool", "nsbox.standing"): "commands alone do without a box that stays",
    ("commands", "nsbox.publish"): "few boxes have ports",
    ("cgroup.meter", "concurrent.futures"): "few read so many files that threads are worth it",
    ("cgroup.account", "nsbox.cgroup.removing"): "only groups that are in use take patience",
    ("cgroup.account", "nsbox.cgroup.stopping"): "most boxes end by themselves",
    ("cgroup.lower", "nsbox.cgroup.making"): "only a box with limits needs the controllers",
    ("cgroup.lower", "nsbox.cgroup.stopping"): "only a box that is joined could be stopped",
    ("cgroup.waiting", "asyncio"): "only who waits in a loop has it, and has it loaded",
    ("namespace.ranges", "nsbox.host"): "only a failure pays for looking at the host",
}

SHIM, DOOR = "nsbox._native._shim", "nsbox._native.door"
PLACE = {
    name: (depth, unit)
    for depth, layer in enumerate(LAYERS)
    for unit in layer
    for name in unit.split()
}
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")
}


class Import(NamedTuple):
    """One import of one module by another."""

    module: str
    late: bool
    typing_only: bool


@functools.cache
def imports(path: Path) -> list[Import]:
    return list(_imports(ast.parse(path.read_text()), late=False, typing_only=False))


def _imports(node: ast.AST, *, late: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, late, typing_only)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            for alias in child.names:
                yield Import(_module(child.module or "", alias.name), late, typing_only)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for statement in child.body:
                yield from _imports(ast.Module([statement], []), late=inside, typing_only=True)
            for statement in child.orelse:
                yield from _imports(
                    ast.Module([statement], []), late=inside, typing_only=typing_only
                )
        else:
            yield from _imports(child, late=inside, typing_only=typing_only)


def _module(package: str, name: str) -> str:
    """Tell `from package import module` from `from module import name`."""
    inner = f"{package}.{name}".removeprefix("nsbox.")
    return f"{package}.{name}" if inner in MODULES or f"{inner}.__init__" in MODULES else package


def unit(module: str) -> str:
    """The name in the table that a module belongs to: its first part below the package."""
    parts = module.removesuffix(".__init__").split(".")
    return (parts[1] if len(parts) > 1 else "__init__") if parts[0] == "nsbox" else parts[0]


def ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "nsbox"


def test_every_module_has_its_place_in_the_picture():
    assert {unit(name) for name in MODULES} <= PLACE.keys()


def test_no_name_stands_in_the_picture_twice():
    names = [name for layer in LAYERS for unit in layer for name in unit.split()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down_only(name):
    depth, together = PLACE[unit(name)]
    for imported in imports(MODULES[name]):
        if ours(imported.module) and not imported.typing_only:
            below, other = PLACE[unit(imported.module)]
            assert other == together or below < depth, f"{name} imports {imported.module}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name.removesuffix(".__init__"): {
            imported.module.removeprefix("nsbox.")
            for imported in imports(path)
            if ours(imported.module) and not imported.typing_only and not imported.late
        }
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for below in graph.get(name, ()):
                visit(below, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert done >= graph.keys()


def test_imports_inside_functions_are_few_and_have_a_reason():
    late = {
        (name.removesuffix(".__init__"), imported.module)
        for name, path in MODULES.items()
        for imported in imports(path)
        if imported.late and not imported.typing_only
    }
    assert late <= LATE.keys()


def test_names_that_load_when_first_used_come_from_below_the_face():
    for module in nsbox._LAZY.values():
        assert PLACE[unit(module)][0] < PLACE["__init__"][0]


def test_one_file_alone_imports_what_cffi_has_made_and_one_package_touches_it():
    assert [
        name
        for name, path in MODULES.items()
        if any(imported.module == SHIM for imported in imports(path))
    ] == ["_native.door"]
    touching = {
        name
        for name, path in MODULES.items()
        if any(imported.module == DOOR for imported in imports(path))
    }
    assert touching == {"_native.calls", "_native.launched", "_native.texts"}


def test_cffi_itself_is_for_building_only():
    assert [
        name
        for name, path in MODULES.items()
        if any(
            imported.module.split(".")[0] in ("cffi", "_cffi_backend") for imported in imports(path)
        )
    ] == ["_native.build"]
