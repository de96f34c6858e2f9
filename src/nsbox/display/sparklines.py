"""A figure over time as a small picture: a line, the area below it, its limit where it has one."""

from collections.abc import Sequence

from nsbox.display.markup import Markup, element

WIDTH, HEIGHT, _EDGE = 240, 40, 3


def sparkline(
    points: Sequence[tuple[float, float]],
    *,
    seconds: float,
    limit: float | None = None,
    x: float = 0,
    y: float = 0,
) -> Markup:
    """Draw (time, value) points, the last at the right edge and `seconds` back at the left one.

    The scale is that of the largest value, or of `limit` where that is less than four times it:
    a limit that is far away would leave nothing of the line.
    """
    largest = max((value for _, value in points), default=0.0)
    near = limit is not None and limit > 0 and largest * 4 >= limit
    top = max(largest, limit or 0.0) if near else largest
    drawn = [element("path", class_="axis", d=f"M{x:g} {y + HEIGHT:g}h{WIDTH}")]
    if near and limit is not None:
        at = _height(limit, top, y)
        drawn.append(element("path", class_="most", d=f"M{x:g} {at:g}h{WIDTH}"))
    if len(points) > 1:
        now = points[-1][0]
        places = [
            (x + WIDTH * (1 - (now - time) / seconds), _height(value, top, y))
            for time, value in points
            if now - time <= seconds
        ]
        line = "L".join(f"{left:.1f} {height:.1f}" for left, height in places)
        first, last = places[0][0], places[-1][0]
        area = f"M{line}L{last:.1f} {y + HEIGHT:g}L{first:.1f} {y + HEIGHT:g}Z"
        drawn += [
            element("path", class_="area", d=area),
            element("path", class_="line", d=f"M{line}"),
        ]
    return element("g", *drawn)


def _height(value: float, top: float, y: float) -> float:
    share = min(max(value / top, 0.0), 1.0) if top > 0 else 0.0
    return y + HEIGHT - share * (HEIGHT - _EDGE)


RULES = {
    ".axis": "fill:none;stroke:currentColor;stroke-opacity:.35",
    ".most": "fill:none;stroke:#e14646;stroke-dasharray:3 3",
    ".line": "fill:none;stroke:#3b82f6;stroke-width:1.5;stroke-linejoin:round",
    ".area": "fill:#3b82f6;fill-opacity:.18",
}
"""How the classes of a sparkline look, on a light page and on a dark one."""
