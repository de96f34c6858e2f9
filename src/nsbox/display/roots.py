"""A root file system as layers: what is mounted last lies on top, the tree at the bottom."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nsbox.display.markup import Markup, code, dim, element, join, page, pill
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.rootfs import RootFS


def draw(shown: Any) -> Markup:
    """Draw a `RootFS`, or one `Mount`."""
    if hasattr(shown, "target"):
        return page("Mount", "", "", _mount(shown))
    note = "later mounts lie over earlier ones; a box has its own /proc, /dev and /tmp too"
    return page("RootFS", _kind(shown, "Root"), note, layers(shown))


def layers(root: "RootFS") -> Markup:
    """Draw the layers of a root, topmost first."""
    return element("div", *(_mount(mount) for mount in reversed(root.mounts)), *_base(root))


def _mount(mount: Any) -> Markup:
    head = (code(mount.target), " ", pill(_kind(mount, "Mount")))
    return element("div", *head, " ", _fields(mount, {"target"}), class_="nsbox-layer")


def _base(root: "RootFS") -> Iterator[Markup]:
    """Draw what the mounts are on: of an overlay each folder, the one that is written to on top."""
    if hasattr(root, "lowers"):
        kept = getattr(root, "upper", None)
        upper = code(kept) if kept else dim("in memory, thrown away with the box")
        yield _layer("written to", upper)
        for folder in reversed(root.lowers):
            yield _layer("lower", code(folder))
        return
    told = _fields(root, {"mounts"})
    yield _layer(_kind(root, "Root"), told, dim(_WHAT.get(type(root).__name__, "")))


_WHAT = {
    "EmptyRoot": "nothing but these mounts",
    "SystemRoot": "the host's programs and libraries, read only; /etc without secrets",
}


def _layer(kind: str, *content: object) -> Markup:
    return element("div", pill(kind), " ", *content, class_="nsbox-layer nsbox-base")


def _kind(value: object, suffix: str) -> str:
    return type(value).__name__.removesuffix(suffix).lower() or suffix.lower()


def _fields(value: Any, without: set[str]) -> Markup:
    """Show the fields that differ from what they are by default, as their `repr` would."""
    shown = []
    for field in attrs.fields(type(value)):
        content = getattr(value, field.name)
        if field.name in without or content == field.default or field.repr is False:
            continue
        text = field.repr(content) if callable(field.repr) else _text(field.name, content)
        shown.append(
            pill(field.name) if content is True else join((dim(field.name), " ", code(text)))
        )
    return join(shown, "  ")


def _text(name: str, content: object) -> str:
    if name == "mode" and isinstance(content, int):
        return f"0{content:o}"
    if name == "size" and isinstance(content, int):
        return readable(content)
    return content if isinstance(content, str) else repr(content)
