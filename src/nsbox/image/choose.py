"""One image chosen among those of an index: by its name, and by what it runs on.

See https://github.com/opencontainers/image-spec/blob/main/image-index.md.
"""

from collections.abc import Iterator, Sequence

from nsbox.errors import ImageError
from nsbox.image import document
from nsbox.image.config import host_architecture
from nsbox.image.descriptor import Descriptor
from nsbox.image.files import Files
from nsbox.image.media import INDEXES, MANIFESTS, REF_NAME

_NAMES = (REF_NAME, "io.containerd.image.name")
_MAX_DEPTH = 4


def choose(
    index: Sequence[Descriptor], files: Files, reference: str | None, platform: str | None
) -> Descriptor:
    """Return the manifest asked for; for this machine's platform where nobody says which.

    Raises `ImageError`, with what there is to choose from, where there is none or more than one.
    """
    named = [one for one in index if reference is None or _is_named(one, reference)]
    if not named:
        raise ImageError(f"no image is called {reference!r} here: {_listed(index)}")
    manifests = [found for one in named for found in _manifests(one, files, 0)]
    fitting = [one for one in manifests if _fits(one, platform or f"linux/{host_architecture()}")]
    if not fitting and platform is None and len(manifests) == 1:
        fitting = manifests  # it is what there is
    distinct = {one.digest: one for one in fitting}
    if len(distinct) != 1:
        problem = "more than one image fits" if distinct else f"no image for {platform or 'here'}"
        raise ImageError(f"{problem} (reference=, platform=): {_listed(fitting or manifests)}")
    return next(iter(distinct.values()))


def descriptors(content: bytes, what: str) -> list[Descriptor]:
    """Read what an index points at."""
    index = document.read_object(content, what)
    return [Descriptor.of(one, what) for one in document.items(index, "manifests", what)]


def _manifests(one: Descriptor, files: Files, depth: int) -> Iterator[Descriptor]:
    if one.media_type in INDEXES:
        if depth >= _MAX_DEPTH:
            raise ImageError("indexes within indexes, too deep")
        for below in descriptors(one.document(files, "an index"), "an index"):
            yield from _manifests(below, files, depth + 1)
    elif one.media_type in MANIFESTS:
        yield one


def _is_named(one: Descriptor, reference: str) -> bool:
    return any(one.annotations.get(name) == reference for name in _NAMES)


def _fits(one: Descriptor, platform: str) -> bool:
    """Tell whether it is for a platform, ``os/architecture`` or ``os/architecture/variant``."""
    if one.platform is None:
        return True
    own = [str(one.platform.get(key, "")) for key in ("os", "architecture", "variant")]
    wanted = platform.split("/")
    return own[: len(wanted)] == wanted


def _listed(some: Sequence[Descriptor]) -> str:
    return ", ".join(map(_label, some[:10])) or "there is none"


def _label(one: Descriptor) -> str:
    names = [str(one.annotations[name]) for name in _NAMES if name in one.annotations]
    if one.platform is not None:
        keys = (key for key in ("os", "architecture", "variant") if key in one.platform)
        names.append("/".join(str(one.platform[key]) for key in keys))
    return " ".join([name for name in names if name]) or one.digest
