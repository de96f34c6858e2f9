"""What something cost: a command with its output and usage, the figures of a group."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nsbox.display.markup import (
    Markup,
    bar,
    code,
    dim,
    element,
    items,
    join,
    page,
    pill,
    section,
    side_by_side,
    table,
)
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.usage import CompletedProcess, Usage

_MOST_TEXT = 20_000
_BYTES = ("current", "peak", "swap_current", "swap_peak")


def draw(shown: Any) -> Markup:
    """Draw a `Usage`, `Stats` or `CompletedProcess`."""
    if hasattr(shown, "parts"):
        parts = (section(name, _figures(name, part)) for name, part in shown.parts.items())
        return page("Stats", "", ", ".join(shown.parts) or "nothing told", side_by_side(*parts))
    if hasattr(shown, "returncode"):
        return _completed(shown)
    return page("Usage", "", "", usage(shown))


def usage(cost: "Usage") -> Markup:
    """Show what a command cost."""
    rows: dict[str, object] = {
        "wall": seconds(cost.wall_seconds),
        "user": seconds(cost.user_seconds),
        "system": seconds(cost.system_seconds),
        "memory peak": dim("not told") if cost.memory_peak is None else readable(cost.memory_peak),
    }
    if cost.oom_killed:
        rows["OOM killer"] = pill("ended a task", "bad")
    return table(rows.items())


def gauges(told: Iterable[Any]) -> Markup:
    """Show usage against limits, a line each, with a bar where there is a limit."""
    rows = []
    for gauge in told:
        drawn = "" if gauge.share is None else bar(gauge.share)
        rows.append((gauge.name, join((drawn, gauge.text))))
    return table(rows)


def command(args: Any) -> Markup:
    """Show a command as it was given."""
    arguments = [args] if isinstance(args, str | bytes) else list(args)
    return code(" ".join(map(_as_text, arguments)))


def seconds(amount: float) -> str:
    """Write a time so that its size is seen."""
    return f"{amount * 1000:.1f} ms" if amount < 1 else f"{amount:.2f} s"


def _completed(done: "CompletedProcess") -> Markup:
    status = pill(f"returned {done.returncode}", "bad" if done.returncode else "good")
    streams = (
        section(name, element("pre", _shortened(content)))
        for name, content in (("stdout", done.stdout), ("stderr", done.stderr))
        if content
    )
    return page("CompletedProcess", command(done.args), status, usage(done.usage), *streams)


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _shortened(content: Any) -> str:
    text = _as_text(content)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}\n… cut here"


def _figures(name: str, part: Any) -> Markup:
    if name == "pressure":
        return table(_stalls(part), ("waiting for", "who", "10 s", "60 s", "300 s"))
    return table(_rows(part, in_bytes=name == "memory"))


def _stalls(pressure: Any) -> Iterator[tuple[object, ...]]:
    for resource in attrs.fields(type(pressure)):
        for who in ("some", "full"):
            stall = getattr(getattr(pressure, resource.name), who, None)
            if stall is not None:
                averages = (stall.avg10, stall.avg60, stall.avg300)
                yield resource.name, who, *(f"{average:g} %" for average in averages)


def _rows(part: Any, *, in_bytes: bool) -> Iterator[tuple[object, object]]:
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            rows = {str(key): _value("", one) for key, one in value.items()}
            if rows:
                inside = element("summary", f"{len(rows)} figures")
                listed = element("div", items(rows), class_="nsbox-scroll")
                yield code(field.name), element("details", inside, listed)
        else:
            yield code(field.name), _value(field.name if in_bytes else "", value)


def _value(name: str, value: Any) -> object:
    if attrs.has(type(value)):
        return table(_rows(value, in_bytes=False))
    if type(value) is int and name in _BYTES:
        return element("span", readable(value), title=f"{value} bytes")
    return str(value)
