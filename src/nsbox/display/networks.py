"""A bridge with the machines on it."""

from typing import TYPE_CHECKING

from nsbox.display.manual import link
from nsbox.display.markup import Markup, code, dim, join, page, table

if TYPE_CHECKING:
    from nsbox.network import Bridge


def draw(bridge: "Bridge") -> Markup:
    """Draw a bridge."""
    own = join(map(code, bridge.addresses), ", ")
    machines = bridge.machines
    rows = [
        (code(one.name) if one.name else dim("unnamed"), join(map(code, one.addresses), ", "))
        for one in machines
    ]
    note = join((f"{len(machines)} machines; ", link("bridge(8)")))
    return page("Bridge", own, note, table(rows, ("machine", "addresses")) if rows else "")
