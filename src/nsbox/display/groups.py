"""A group with those below it as a picture, and the hierarchies that they are in."""

from typing import TYPE_CHECKING, Any

from nsbox.display.manual import link
from nsbox.display.markup import Markup, code, join, page, pill, table
from nsbox.display.pictures import picture
from nsbox.display.trees import look

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.cgroup.hierarchy import Hierarchy

MOST_GROUPS = 12
"""How many groups below each one are drawn."""


def draw(shown: Any) -> Markup:
    """Draw a group, or a hierarchy."""
    if hasattr(shown, "mountpoint"):
        return _hierarchy(shown)
    return page("Cgroup", code(shown.path), link("cgroups(7)"), svg(shown, alone=False))


def svg(group: "Cgroup", *, alone: bool = True) -> Markup:
    """Draw a group and those below as SVG: a picture of its own, or a part of a page."""
    trees = {hierarchy.mountpoint: _label(hierarchy) for hierarchy in group.directories}
    return picture(look(group, MOST_GROUPS), trees, alone=alone)


def _label(hierarchy: "Hierarchy") -> str:
    """Say which hierarchy this is: by the subsystems that are bound to it."""
    names = ", ".join(sorted(hierarchy.subsystems))
    if hierarchy.version == 2:
        return f"v2: {names}" if names else "v2: no controllers"
    return f"v1: {names or f'name={hierarchy.name}'}"


def _hierarchy(hierarchy: "Hierarchy") -> Markup:
    bound = join(map(pill, sorted(hierarchy.keys)))
    rows = [
        ("version", f"cgroup v{hierarchy.version}"),
        ("mounted at", code(hierarchy.mountpoint)),
        ("bound to it", bound),
    ]
    if hierarchy.root != "/":
        rows.append(("shows the group", code(hierarchy.root)))
    return page("Hierarchy", code(hierarchy.mountpoint), link("cgroups(7)"), table(rows))
