"""JSON documents: read checked, written the same way each time."""

import json
from collections.abc import Mapping
from typing import Any

from nsbox.errors import ImageError


def read(content: bytes, what: str) -> Any:
    """Read a document. Raises `ImageError` where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is no JSON document: {error}") from None


def read_object(content: bytes, what: str) -> dict[str, Any]:
    """Read a document that is an object."""
    found = read(content, what)
    if not isinstance(found, dict):
        raise ImageError(f"{what} is not an object")
    return found


def write(document: Mapping[str, Any] | list[Any]) -> bytes:
    """Write a document: compact, keys in order."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.encode(errors="surrogateescape")


def items(document: Mapping[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    """Return a list of objects that a document has under a key."""
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ImageError(f"{what}: {key!r} is not a list of objects")
    return found
