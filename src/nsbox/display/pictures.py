"""A tree of groups as SVG: a card for each group, those below to its right, a dot for each tree."""

import itertools
from collections.abc import Iterator, Mapping

import attrs

from nsbox.display.gauges import Gauge
from nsbox.display.markup import NEARLY_FULL, Markup, element, join
from nsbox.display.trees import Look

COLOURS = ("#3b82f6", "#e08a2e", "#2aa876", "#b46be0", "#d2a517", "#e0568a", "#18a5b8", "#8a8f9c")
"""One for each hierarchy; each can be seen on white and on black."""

_WIDTH, _ACROSS, _DOWN, _PAD = 250, 52, 16, 14
_HEAD, _LINE, _BAR, _CHIP = 26, 18, 8, 22
_CHARACTER = 7.0
"""How wide a character of the picture's 12 px monospace letters is, at most."""


@attrs.frozen
class _Card:
    """A group with a place: its own height, and that of all that is drawn for it."""

    group: Look
    below: tuple["_Card", ...]
    height: float
    whole: float


def picture(group: Look, trees: Mapping[str, str], *, alone: bool) -> Markup:
    """Draw a group and those below it; `trees` says what to call its hierarchies.

    `alone` is a picture with a paper of its own, light or dark as the reader's system is; the
    other kind has the page's colours.
    """
    colours = dict(zip(trees, itertools.cycle(COLOURS), strict=False))
    card = _card(group)
    width = max(_depth(card) * (_WIDTH + _ACROSS) - _ACROSS, _WIDTH * 1.6) + 2 * _PAD
    legend, top = _legend(trees, colours, width)
    height = top + card.whole + _PAD
    drawn = join((*legend, *_drawn(card, _PAD, top, colours)))
    paper = element("rect", class_="paper", **_box(0.5, 0.5, width - 1, height - 1), rx=10)
    return element(
        "svg",
        element("title", f"cgroup {group.path}"),
        element("style", _style("nsbox-alone" if alone else "nsbox-within", alone=alone)),
        paper if alone else "",
        drawn,
        xmlns="http://www.w3.org/2000/svg",
        class_="nsbox-alone" if alone else "nsbox-within",
        role="img",
        width=f"{width:g}",
        height=f"{height:g}",
        viewBox=f"0 0 {width:g} {height:g}",
    )


def _card(group: Look) -> _Card:
    below = tuple(map(_card, group.below))
    lines = sum(_LINE + (0 if gauge.share is None else _BAR) for gauge in group.gauges)
    chips = len(group.tasks) + bool(group.more_tasks) + bool(group.more_groups)
    height = _HEAD + lines + chips * _CHIP + (10 if lines or chips else 6)
    beside = sum(card.whole for card in below) + _DOWN * max(0, len(below) - 1)
    return _Card(group, below, height, max(height, beside))


def _depth(card: _Card) -> int:
    return 1 + max(map(_depth, card.below), default=0)


def _legend(
    trees: Mapping[str, str], colours: Mapping[str, str], width: float
) -> tuple[list[Markup], float]:
    """Name the hierarchies above the tree, in as many lines as it takes; return where it begins."""
    drawn, x, y = [], float(_PAD), float(_PAD)
    for mountpoint, label in trees.items():
        needed = 20 + len(label) * _CHARACTER + 18
        if x > _PAD and x + needed > width:
            x, y = float(_PAD), y + 22
        hover = element("title", mountpoint)
        dot = element("circle", cx=f"{x + 5:g}", cy=f"{y + 8:g}", r=5, fill=colours[mountpoint])
        drawn.append(element("g", hover, dot, _text(x + 16, y + 12, label)))
        x += needed
    return drawn, y + 32


def _drawn(card: _Card, x: float, y: float, colours: Mapping[str, str]) -> Iterator[Markup]:
    """Draw a card in the middle of its part of the picture, and those below beside it."""
    own = y + (card.whole - card.height) / 2
    end_x, end_y = x + _WIDTH, own + card.height / 2
    beside = sum(one.whole for one in card.below) + _DOWN * max(0, len(card.below) - 1)
    child_y = y + (card.whole - beside) / 2
    for child in card.below:
        to_x, to_y = x + _WIDTH + _ACROSS, child_y + child.whole / 2
        bend = (end_x + to_x) / 2
        way = f"M{end_x:g} {end_y:g}C{bend:g} {end_y:g} {bend:g} {to_y:g} {to_x:g} {to_y:g}"
        yield element("path", class_="way", d=way)
        yield from _drawn(child, to_x, child_y, colours)
        child_y += child.whole + _DOWN
    yield element("g", *_content(card, x, own, colours))


def _content(card: _Card, x: float, y: float, colours: Mapping[str, str]) -> Iterator[Markup]:
    group = card.group
    yield element("title", group.path)
    yield element("rect", class_="card", **_box(x, y, _WIDTH, card.height), rx=8)
    dots = [colours[tree] for tree in group.trees if tree in colours]
    room = _WIDTH - 24 - 12 * len(dots)
    title = f"{group.name} (frozen)" if group.frozen else group.name
    yield _text(x + 12, y + 19, _fitted(title, room / 7.6), "name")
    for number, colour in enumerate(reversed(dots)):
        yield element(
            "circle", cx=f"{x + _WIDTH - 14 - 12 * number:g}", cy=f"{y + 15:g}", r=4, fill=colour
        )
    line = y + _HEAD
    for gauge in group.gauges:
        yield from _gauge(gauge, x + 12, line)
        line += _LINE + (0 if gauge.share is None else _BAR)
    line += 4
    words = [f"{pid} {name}" for pid, name in group.tasks]
    if group.more_tasks:
        words.append(f"… {group.more_tasks} more tasks")
    if group.more_groups:
        words.append(f"… {group.more_groups} more groups below")
    for word in words:
        kind = "more" if word.startswith("…") else "frozen" if group.frozen else "task"
        yield from _chip(word, kind, x + 12, line)
        line += _CHIP


def _gauge(gauge: Gauge, x: float, y: float) -> Iterator[Markup]:
    room = _WIDTH - 24
    yield _text(x, y + 13, gauge.name, "dim")
    words = _fitted(gauge.text, (room - len(gauge.name) * _CHARACTER) / _CHARACTER - 1)
    yield _text(x + room, y + 13, words, "end")
    if gauge.share is not None:
        used = min(max(gauge.share, 0.0), 1.0)
        level = "full" if used >= NEARLY_FULL else "used"
        yield element("rect", class_="limit", **_box(x, y + _LINE, room, 4), rx=2)
        yield element("rect", class_=level, **_box(x, y + _LINE, max(room * used, 2), 4), rx=2)


def _chip(words: str, kind: str, x: float, y: float) -> Iterator[Markup]:
    words = _fitted(words, (_WIDTH - 40) / _CHARACTER)
    if kind != "more":
        width = len(words) * _CHARACTER + 16
        yield element("rect", class_=kind, **_box(x, y, width, 18), rx=9)
    yield _text(x + 8, y + 13, words, "dim" if kind == "more" else "")


def _box(x: float, y: float, width: float, height: float) -> dict[str, str]:
    return {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}


def _text(x: float, y: float, words: str, kind: str = "") -> Markup:
    return element("text", words, class_=f"ink {kind}".strip(), x=f"{x:g}", y=f"{y:g}")


def _fitted(words: str, characters: float) -> str:
    most = max(3, int(characters))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _style(root: str, *, alone: bool) -> Markup:
    """Write the style, each rule for pictures of this kind alone: a page may show several."""
    rules = _written(root, _RULES)
    if alone:
        rules += _written(root, _LIGHT)
        rules += f"@media (prefers-color-scheme:dark){{{_written(root, _DARK)}}}"
    return Markup(rules)


def _written(root: str, rules: Mapping[str, str]) -> str:
    return "".join(f".{root} {selector}{{{rule}}}" for selector, rule in rules.items())


LETTERS = "font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_RULES = {
    ".ink": "fill:currentColor",
    "text": LETTERS,
    ".name": "font-weight:700;font-size:13px",
    ".dim": "opacity:.68",
    ".end": "text-anchor:end",
    ".way": "fill:none;stroke:currentColor;stroke-opacity:.4;stroke-width:1.5",
    ".card": "fill:currentColor;fill-opacity:.04;stroke:currentColor;stroke-opacity:.35",
    ".limit": "fill:#808080;fill-opacity:.28",
    ".used": "fill:#3b82f6",
    ".full": "fill:#e14646",
    ".task": "fill:#2aa876;fill-opacity:.22",
    ".frozen": "fill:#38bdf8;fill-opacity:.3;stroke:#38bdf8;stroke-dasharray:3 2",
}
_LIGHT = {
    ".paper": "fill:#fff;stroke:#d0d4dc",
    ".ink": "fill:#1f2328",
    ".way": "stroke:#9aa2b1;stroke-opacity:1",
    ".card": "fill:#f6f7f9;fill-opacity:1;stroke:#c3c8d2;stroke-opacity:1",
}
_DARK = {
    ".paper": "fill:#15181e;stroke:#333a46",
    ".ink": "fill:#e6e9ee",
    ".way": "stroke:#6d7686",
    ".card": "fill:#1f242c;stroke:#46505f",
}
