"""How the names of the package are shown: links from docstrings, signatures, bases.

Single backticks in a docstring link to what is so named, else they are code: a parameter is not
documented by itself, and so is no target. But what begins with ``nsbox`` or a public class must be
one, else the build warns.
"""

from typing import Any

import attrs
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

import nsbox

MADE_BY_OTHERS = {"Box", "BoxFuture", "BoxPath", "Bridge", "Cgroup", "Events", "Hierarchy", "Image"}
MADE_BY_OTHERS |= {"Layer", "Mount", "Namespace", "Plan", "Port", "Process", "Step", "Trigger"}
MADE_BY_OTHERS |= {"CompletedProcess", "Settings", "Subsystem", "Watch"}
"""Classes that nobody calls: what makes one is a function, a method or a class method."""


class Name(SphinxRole):
    """One name in single backticks."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make a reference that is code if nothing is found."""
        shown = nodes.literal(self.text, self.text, classes=["xref", "py"])
        reference = addnodes.pending_xref(
            "",
            shown,
            refdoc=self.env.docname,
            refdomain="py",
            reftype="obj",
            reftarget=self.text.partition("(")[0],
            may_be_code=True,
        )
        context = self.env.ref_context
        reference["py:module"] = context.get("py:module")
        reference["py:class"] = context.get("py:class")
        return [reference], []


def otherwise(app: Sphinx, env: Any, node: Any, content: nodes.Element) -> nodes.Element | None:
    """Look a name up in the face of the package; leave the others as code."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or target.startswith("nsbox."):
        return None
    first = target.split(".")[0]
    if first in nsbox.__all__:
        domain = env.get_domain("py")
        builder, source = app.builder, node["refdoc"]
        target = f"nsbox.{target}"
        return domain.resolve_xref(env, source, builder, node["reftype"], target, node, content)
    return content if node.get("may_be_code") else None


def signature(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> tuple[str, None] | None:  # noqa: ARG001
    """Show a value's fields by name, their types come below; and no call where none is meant."""
    if what not in ("class", "exception"):
        return None
    if name.rpartition(".")[2] in MADE_BY_OTHERS:
        return "", None
    if not attrs.has(obj):
        return None
    shown = []
    for field in attrs.fields(obj):
        if field.init and not field.name.startswith("_"):
            if field.kw_only and "*" not in shown:
                shown.append("*")
            shown.append(field.name if field.default is attrs.NOTHING else f"{field.name}=...")
    return f"({', '.join(shown)})", None


def bases(app: Sphinx, name: str, obj: Any, options: Any, found: list[Any]) -> None:  # noqa: ARG001
    """Leave out what is beneath a class for our own sake."""
    found[:] = [
        one
        for one in found
        if not getattr(one, "__module__", "").startswith("nsbox") or one.__name__ in nsbox.__all__
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Take part in the build."""
    app.add_role("name", Name())
    app.connect("missing-reference", otherwise, priority=900)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-bases", bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
