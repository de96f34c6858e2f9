"""What an image is made of, as it was found: its configuration's document and its layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from nsbox.errors import ImageError
from nsbox.image import document
from nsbox.image.config import Config
from nsbox.image.digest import check_digest
from nsbox.image.layer import Layer

MAX_LAYERS = 500
"""As many as one overlay mount can have. See overlayfs in the kernel's documents."""


@attrs.frozen(eq=False)
class Content:
    """An image's configuration, its bytes, its layers from the lowest on.

    `manifest` is OCI's, byte for byte, where there was one.
    """

    config: Config
    document: bytes
    layers: tuple[Layer, ...]
    manifest: bytes | None = None


def diff_ids(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """Read a configuration's document, and the digests of its layers' archives."""
    found = document.read_object(content, "the configuration")
    listed = rootfs_ids(found)
    if len(listed) > MAX_LAYERS:
        raise ImageError(f"{len(listed)} layers: more than an overlay mount has, {MAX_LAYERS}")
    return found, [check_digest(one, "a diff_id of the configuration") for one in listed]


def rootfs_ids(found: Mapping[str, Any]) -> list[Any]:
    """Return the list in a configuration's "rootfs"."""
    rootfs = found.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if listed is None:
        listed = []
    if not isinstance(listed, list):
        raise ImageError("the configuration's diff_ids are no list")
    return listed


def check_count(layers: Sequence[Any], ids: Sequence[str]) -> None:
    """Refuse a manifest and a configuration that do not belong together."""
    if len(layers) != len(ids):
        raise ImageError(
            f"the manifest has {len(layers)} layers and the configuration {len(ids)} diff_ids"
        )
