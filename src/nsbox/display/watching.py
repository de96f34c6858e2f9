"""What is watched, over time: memory, CPU and tasks, a line for each."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox.display.markup import Markup, code, dim, element, page, pill
from nsbox.display.pictures import LETTERS
from nsbox.display.sparklines import HEIGHT, RULES, WIDTH, sparkline
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.watching import Sample, Watch

_LEFT, _RIGHT, _ROW, _PAD = 70, 190, 54, 14
_INK = {"light": "#1f2328", "dark": "#e6e9ee"}
_PAPER = {"light": "fill:#fff;stroke:#d0d4dc", "dark": "fill:#15181e;stroke:#333a46"}


@attrs.frozen(kw_only=True)
class Curve:
    """One figure over time, with what it is now in words."""

    name: str
    text: str
    points: tuple[tuple[float, float], ...]
    limit: float | None = None


def draw(watch: "Watch") -> Markup:
    """Draw what was seen so far."""
    state = pill("watching", "good") if watch.running else pill("ended")
    return page("Watch", code(watch.name), state, svg(watch, alone=False))


def svg(watch: "Watch", *, alone: bool = True) -> Markup:
    """Draw the curves: a picture of its own, or a part of a page."""
    return chart(tuple(curves(watch.samples)), seconds=watch.seconds, name=watch.name, alone=alone)


def curves(samples: Sequence["Sample"]) -> Iterator[Curve]:
    """Make curves of what was seen: CPU time becomes the CPUs in use between two samples."""
    if not samples:
        return
    last = samples[-1]
    if last.memory is not None:
        points = tuple((one.time, float(one.memory or 0)) for one in samples)
        text = _against(readable(last.memory), last.memory_max and readable(last.memory_max))
        yield Curve(name="memory", text=text, points=points, limit=last.memory_max)
    if last.cpu_seconds is not None:
        rates = tuple(_rates(samples))
        most = last.cpu_max and f"{last.cpu_max:g}"
        text = _against(f"{rates[-1][1] if rates else 0:.2f}", most)
        yield Curve(name="cpu", text=f"{text} CPUs", points=rates, limit=last.cpu_max)
    if last.pids is not None:
        points = tuple((one.time, float(one.pids or 0)) for one in samples)
        text = _against(str(last.pids), last.pids_max and str(last.pids_max))
        yield Curve(name="tasks", text=text, points=points, limit=last.pids_max)


def _rates(samples: Sequence["Sample"]) -> Iterator[tuple[float, float]]:
    for one, other in itertools.pairwise(samples):
        used = (other.cpu_seconds or 0) - (one.cpu_seconds or 0)
        yield other.time, max(used / (other.time - one.time), 0.0)


def _against(text: str, limit: str | float | None) -> str:
    return f"{text} of {limit}" if limit else text


def chart(some: Sequence[Curve], *, seconds: float, name: str, alone: bool) -> Markup:
    """Draw curves below each other; `alone` brings a paper of its own, light or dark."""
    if not some and not alone:
        return dim("nothing is counted: no group was made for it")
    width, height = _LEFT + WIDTH + _RIGHT, _ROW * max(len(some), 1) + 2 * _PAD
    root = "nsbox-chart-alone" if alone else "nsbox-chart"
    rows = []
    for number, curve in enumerate(some):
        top = _PAD + number * _ROW
        middle = top + HEIGHT / 2 + 4
        line = sparkline(curve.points, seconds=seconds, limit=curve.limit, x=_LEFT, y=top)
        end = _LEFT + WIDTH + 12
        rows += [_words(_PAD, middle, curve.name, "dim"), line, _words(end, middle, curve.text)]
    paper = element("rect", class_="paper", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=10)
    return element(
        "svg",
        element("title", f"usage of {name}, the last {seconds:g} seconds"),
        element("style", _style(root, alone=alone)),
        paper if alone else "",
        *rows,
        xmlns="http://www.w3.org/2000/svg",
        class_=root,
        role="img",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )


def _words(x: float, y: float, words: str, kind: str = "") -> Markup:
    return element("text", words, class_=f"ink {kind}".strip(), x=f"{x:g}", y=f"{y:g}")


def _style(root: str, *, alone: bool) -> Markup:
    rules = {".ink": "fill:currentColor", "text": LETTERS, ".dim": "opacity:.72", **RULES}
    written = "".join(f".{root} {selector}{{{rule}}}" for selector, rule in rules.items())
    if alone:
        light, dark = (
            f".{root}{{color:{_INK[scheme]}}}.{root} .paper{{{_PAPER[scheme]}}}"
            for scheme in ("light", "dark")
        )
        written += f"{light}@media (prefers-color-scheme:dark){{{dark}}}"
    return Markup(written)
