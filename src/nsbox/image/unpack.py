"""A layer read, checked and unpacked into a folder of its own or over those below it."""

from collections.abc import Callable

from nsbox.errors import ImageError
from nsbox.image.extract import Extracted, extract
from nsbox.image.forms import Form
from nsbox.image.layer import Layer
from nsbox.image.limits import Limits
from nsbox.image.merged import Merged
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
