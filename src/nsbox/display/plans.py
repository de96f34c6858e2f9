"""A plan as a table: each step as strace(1) would print it, beside its manual page."""

from typing import TYPE_CHECKING, Any

from nsbox.display.manual import link
from nsbox.display.markup import Markup, code, element, join, page, table

if TYPE_CHECKING:
    from nsbox.plan import Plan, Step

_MOST_TEXT = 400


def draw(shown: Any) -> Markup:
    """Draw a `Plan`, or one `Step`."""
    if hasattr(shown, "operation"):
        return page("Step", _call(shown), link(shown.reference))
    plan: Plan = shown
    rows = ((index, _call(step), link(step.reference)) for index, step in enumerate(plan))
    whole = table(rows, ("#", "system call", "manual"))
    note = f"{len(plan)} steps; nothing is done before a box starts"
    return page("Plan", "", note, element("div", whole, class_="nsbox-scroll"))


def _call(step: "Step") -> Markup:
    text = str(step)
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]} …"
    before, name, after = text.partition(step.name)
    return code(join((before, element("b", name), after)))
