"""A fleet, and what its boxes use: a row each."""

from typing import Any

from nsbox.display.markup import Markup, element, page, pill, table

_MARKS = {"alive": "good", "failed": "bad"}


def draw(shown: Any) -> Markup:
    """Draw a `Fleet` or a `FleetStats`."""
    if not hasattr(shown, "rows"):
        failed = [(place, error) for place, error in shown.errors.items()]
        why = table(failed, ("", "could not be started")) if failed else ""
        return page("Fleet", "", f"{len(shown)} boxes", _rows(shown.stats()), why)
    return page("FleetStats", "", f"{len(shown)} boxes", _rows(shown))


def _rows(stats: Any) -> Markup:
    rows = [
        (place, name, pill(state, _MARKS.get(state, "")), *figures)
        for place, name, state, *figures in (row.cells for row in stats.rows)
    ]
    return element("div", table(rows, stats.head), class_="nsbox-scroll")
