"""A box: its usage, its namespaces beside the caller's, and what it was made from."""

from typing import TYPE_CHECKING

from nsbox.display import namespaces, specs, tasks, usage
from nsbox.display.gauges import gauges
from nsbox.display.markup import Markup, dim, element, page, pill, section, side_by_side
from nsbox.errors import UnsupportedError

if TYPE_CHECKING:
    from nsbox.box import Box


def draw(box: "Box") -> Markup:
    """Draw a box."""
    name = specs.hostname(box.spec)
    wish = element("details", element("summary", "BoxSpec"), specs.spec(box.spec))
    if box.poll() is not None:
        return page("Box", name, pill(f"ended, returned {box.poll()}"), wish)
    return page(
        "Box",
        name,
        pill(f"alive, pid {box.pid}", "good"),
        side_by_side(
            namespaces.side_by_side(box.task.namespaces, "the box's"),
            element("div", section("usage", _usage(box)), tasks.groups(box.task)),
        ),
        wish,
    )


def _usage(box: "Box") -> Markup:
    try:
        return usage.gauges(gauges(box.stats(), box.cgroup.resources))
    except UnsupportedError:
        return dim("not counted: no group was made for it")
