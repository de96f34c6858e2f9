"""The spec of an image that is on each host: named by its place and by its digest."""

import atexit
import functools
import threading
from typing import Any

import attrs

from nsbox.errors import ImageError
from nsbox.fields import StrPath, frozen_map, text_path
from nsbox.frozen import FrozenMap
from nsbox.image import Image
from nsbox.spec import BoxSpec


def _layout(value: StrPath) -> str:
    return text_path(value, "layout")


def _store(value: StrPath) -> str:
    return text_path(value, "store")


def _digest(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, str) or not value.startswith("sha256:"):
        raise ValueError(f"{attribute.name}: such as 'sha256:...', see Image.digest, not {value!r}")


def _fields(value: Any) -> FrozenMap[str, Any]:
    return frozen_map(value, "fields")


@attrs.frozen
class LayoutSpec:
    """The spec that an image gives, where the call is made: its layers are each host's own.

    `layout` is where the image is on every host, `digest` which one it must be, see `Image.digest`;
    `store` is where its layers are unpacked, see `nsbox.image.Store`, and `fields` are fields of
    the `BoxSpec` to be changed.
    """

    layout: str = attrs.field(converter=_layout)
    digest: str = attrs.field(validator=_digest)
    store: str = attrs.field(converter=_store, kw_only=True)
    fields: FrozenMap[str, Any] = attrs.field(default=FrozenMap(), converter=_fields, kw_only=True)

    def resolve(self) -> BoxSpec:
        """Return the spec as this host has it; its layers are unpacked once and stay locked.

        Raises `ImageError` where another image is there, and `OSError` where none is.
        """
        with _lock:
            return attrs.evolve(_opened(self.layout, self.digest, self.store), **self.fields)


_lock = threading.Lock()
_images: list[Image] = []


@functools.cache
def _opened(layout: str, digest: str, store: str) -> BoxSpec:
    image = Image.open(layout)
    try:
        if image.digest != digest:
            raise ImageError(f"{layout}: image {image.digest} is there, not {digest}")
        spec = image.spec(store=store)
    except BaseException:
        image.close()
        raise
    _images.append(image)  # open, for its layers to stay locked, as long as the process lives
    return spec


@atexit.register
def _close() -> None:
    while _images:
        _images.pop().close()
    _opened.cache_clear()
