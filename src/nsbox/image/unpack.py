"""A layer read, checked and unpacked into a folder of its own or over those below it."""

import os
import stat
from collections.abc import Callable, Sequence

from nsbox.errors import ImageError
from nsbox.image.extract import Extracted, extract
from nsbox.image.forms import Form, OverlayForm
from nsbox.image.layer import Layer
from nsbox.image.limits import Limits
from nsbox.image.merged import Merged
from nsbox.image.metadata import clamped
from nsbox.image.untar import Untar


def unpack(
    layer: Layer,
    folder: str,
    form: Form,
    limits: Limits,
    *,
    below: Merged | None = None,
    done: Callable[[int], None],
) -> Extracted:
    """Unpack a layer. What is in the folder may be used after this has returned, not before.

    Raises `ImageError`, with the layer's digest and the entry's name, for an archive that is not
    what it should be; then, too, the folder holds what was unpacked before that was known.
    """
    try:
        stream = layer.archive(limits.size, done)
        try:
            extracted = extract(Untar(stream), folder, form, limits, below)
            stream.drain()
        finally:
            stream.close()
    except ImageError as error:
        raise ImageError(
            error.reason, layer=layer.digest or layer.diff_id, entry=error.entry
        ) from None
    return extracted


def unpack_over(
    layer: Layer, folder: str, below: Sequence[str], limits: Limits, done: Callable[[int], None]
) -> Extracted:
    """Unpack a layer by itself, to be mounted over those below it, the lowest first."""
    _like(folder, below[-1] if below else None)
    return unpack(layer, folder, OverlayForm(), limits, below=Merged(below), done=done)


def _like(folder: str, model: str | None) -> None:
    """Give a layer's root what the one below has: its own archive may say nothing of it."""
    status = None if model is None else os.stat(model)
    if status is None:
        os.chmod(folder, 0o755)
        os.utime(folder, ns=(0, 0))
        return
    if os.geteuid() == 0:
        os.chown(folder, status.st_uid, status.st_gid)
    os.chmod(folder, stat.S_IMODE(status.st_mode))
    os.utime(folder, ns=clamped(status.st_mtime_ns))
