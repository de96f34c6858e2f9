"""Links to Python's own documentation, without its inventory: pages are built off line too."""

import builtins
import sys
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

SITE = "https://docs.python.org/3/library"
PAGES = {
    "pathlib._local": "pathlib",
    "asyncio.subprocess": "asyncio-subprocess",
    "asyncio.streams": "asyncio-stream",
    "asyncio": "asyncio",
    "_io": "io",
}
NO_MODULE = {"Path": "pathlib", "PurePosixPath": "pathlib", "Literal": "typing"}


def address(name: str) -> str | None:
    """Return where a name of the standard library is described, None for any other."""
    module, _, last = name.rpartition(".")
    if not module:
        value = getattr(builtins, name, None)
        if value is None and name != "None":
            return (
                f"{SITE}/{NO_MODULE[name]}.html#{NO_MODULE[name]}.{name}"
                if name in NO_MODULE
                else None
            )
        if isinstance(value, type) and issubclass(value, BaseException):
            return f"{SITE}/exceptions.html#{name}"
        return f"{SITE}/{'functions' if value is not None else 'constants'}.html#{name}"
    if module.split(".")[0] not in sys.stdlib_module_names:
        return None
    page = PAGES.get(module, module)
    anchor = f"{page if page in ('pathlib', 'io') else module}.{last}"
    return f"{SITE}/{page}.html#{anchor}"


def resolve(app: Sphinx, env: Any, node: Any, content: nodes.Element) -> nodes.Element | None:  # noqa: ARG001
    """Answer for a reference that Sphinx has found no target for."""
    if node.get("refdomain") != "py":
        return None
    found = address(node.get("reftarget", ""))
    return nodes.reference("", "", content, internal=False, refuri=found) if found else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Take part in the build."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
