"""Markup that is well formed and escaped because of how it is made."""

import re
from collections.abc import Iterable, Mapping

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_VOID = frozenset({"br", "circle", "hr", "line", "path", "rect"})


class Markup(str):
    """Text that is markup already; all other text is escaped where it is put into some."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Escape text for markup; what XML has no place for becomes the replacement character."""
    if isinstance(text, Markup):
        return text
    shown = _NOT_XML.sub("\ufffd", str(text))
    return Markup("".join(_SPECIAL.get(c, c) for c in shown))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Join text and markup."""
    return Markup(escape(between).join(map(escape, parts)))


def element(name: str, *content: object, **attributes: object) -> Markup:
    """Make an element; a trailing underscore in an attribute's name is dropped, others are dashes.

    An attribute that is None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not content:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def code(text: object) -> Markup:
    """Show what the kernel or a program calls something."""
    return element("code", text)


def dim(*content: object) -> Markup:
    """Show what matters less."""
    return element("span", *content, class_="nsbox-dim")


def pill(text: object, kind: str = "") -> Markup:
    """Show a word or two as a mark: `kind` is ``good``, ``bad``, ``own`` or nothing."""
    return element("span", text, class_=f"nsbox-pill nsbox-{kind}" if kind else "nsbox-pill")


def table(rows: Iterable[Iterable[object]], head: Iterable[object] = ()) -> Markup:
    """Make a table; without a `head` the first cell of a row is its heading."""
    titles = [element("th", title, scope="col") for title in head]
    body = []
    for row in rows:
        first, *rest = row
        cells = [element("td", first) if titles else element("th", first, scope="row")]
        body.append(element("tr", *cells, *(element("td", cell) for cell in rest)))
    top = [element("thead", element("tr", *titles))] if titles else []
    return element("table", *top, element("tbody", *body))


def section(title: str, *content: object) -> Markup:
    """Put a title above something."""
    return element("div", element("div", title, class_="nsbox-title"), *content)


def side_by_side(*sections: object) -> Markup:
    """Put sections beside one another as far as there is room."""
    return element("div", *sections, class_="nsbox-row")


def bar(share: float) -> Markup:
    """Draw how much of a limit is used."""
    percent = f"{min(max(share, 0.0), 1.0) * 100:.1f}%"
    level = "nsbox-full" if share >= NEARLY_FULL else ""
    fill = element("span", "", class_=level or None, style=f"width:{percent}")
    return element("span", fill, class_="nsbox-bar", title=percent)


NEARLY_FULL = 0.9
"""From this share of a limit on, usage is shown as a warning."""


def page(kind: str, name: object, note: object, *content: object) -> Markup:
    """Put a heading above all that is shown of an object, and the style beside it."""
    heading = element("div", element("b", kind), " ", name, " ", dim(note), class_="nsbox-head")
    return element("div", element("style", _STYLE), heading, *content, class_="nsbox")


def items(mapping: Mapping[str, object]) -> Markup:
    """Show names with what they stand for."""
    return table((code(name), value) for name, value in mapping.items())


# Light or dark is the page's choice: text has its colour, and all else is half transparent.
_STYLE = Markup(
    ".nsbox{font-size:13px;line-height:1.45;color:inherit;overflow-x:auto}"
    ".nsbox code,.nsbox pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;"
    "background:none;color:inherit;padding:0;margin:0}"
    ".nsbox pre{white-space:pre-wrap;max-height:16em;overflow:auto}"
    ".nsbox table{border-collapse:collapse;margin:2px 0 6px;font-size:13px}"
    ".nsbox td,.nsbox th{text-align:left;vertical-align:top;padding:2px 14px 2px 0;border:0;"
    "border-bottom:1px solid rgba(128,128,128,.22);background:none;max-width:60em;"
    "overflow-wrap:anywhere;white-space:normal}"
    ".nsbox th{font-weight:600;white-space:nowrap}"
    ".nsbox tbody th{font-weight:400}"
    ".nsbox tbody tr:last-child td,.nsbox tbody tr:last-child th{border-bottom:0}"
    ".nsbox td table{margin:0}"
    ".nsbox a{color:inherit;text-decoration:underline;text-decoration-color:#6b8afd;"
    "text-underline-offset:2px}"
    ".nsbox-head{font-size:14px;margin-bottom:4px}"
    ".nsbox-title{font-weight:600;margin:6px 0 2px}"
    ".nsbox-dim{opacity:.68}"
    ".nsbox-row{display:flex;flex-wrap:wrap;gap:0 36px}"
    ".nsbox-scroll{max-height:24em;overflow:auto}"
    ".nsbox-pill{display:inline-block;padding:0 7px;margin:1px 4px 1px 0;border-radius:9px;"
    "font-size:12px;background:rgba(128,128,128,.18)}"
    ".nsbox-own{background:rgba(59,130,246,.26)}"
    ".nsbox-good{background:rgba(34,160,90,.28)}"
    ".nsbox-bad{background:rgba(225,70,70,.30)}"
    ".nsbox-bar{display:inline-block;width:120px;height:6px;border-radius:3px;margin-right:8px;"
    "vertical-align:middle;background:rgba(128,128,128,.25);overflow:hidden}"
    ".nsbox-bar span{display:block;height:6px;background:#3b82f6}"
    ".nsbox-bar span.nsbox-full{background:#e14646}"
    ".nsbox-layer{border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:3px 10px;"
    "margin:0 0 3px;max-width:46em;overflow-wrap:anywhere}"
    ".nsbox-base{background:rgba(128,128,128,.14)}"
)
