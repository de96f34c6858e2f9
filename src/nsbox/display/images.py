"""An image: how it wants to be run, and its layers, topmost first."""

from typing import TYPE_CHECKING

from nsbox.display.markup import Markup, code, dim, items, page, section, table
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.image import Image

_DIGITS = len("sha256:") + 12


def draw(image: "Image") -> Markup:
    """Draw an image."""
    size = sum(layer.size for layer in image.layers)
    note = f"{len(image.layers)} layers, {readable(size)}"
    rows = [
        (number, code(_short(layer.diff_id)), readable(layer.size))
        for number, layer in reversed(list(enumerate(image.layers)))
    ]
    return page(
        "Image",
        code(_short(image.digest)),
        note,
        section("configuration", _config(image)),
        section("layers", table(rows, ("", "content", "stored"))),
    )


def _config(image: "Image") -> Markup:
    config = image.config
    rows: dict[str, object] = {"args": code(" ".join(config.args)) if config.args else dim("none")}
    for name in ("user", "workdir", "stop_signal"):
        if getattr(config, name):
            rows[name] = code(getattr(config, name))
    if config.env:
        rows["env"] = items({name: code(value) for name, value in config.env.items()})
    if config.labels:
        rows["labels"] = items(config.labels)
    return items(rows)


def _short(digest: str) -> str:
    """Write as much of a digest as tells it from others."""
    return digest if len(digest) <= _DIGITS else f"{digest[:_DIGITS]}…"
