"""Archives as ``docker save`` wrote them before it wrote OCI layouts, and archives of a plain tree.

See "Combined Image JSON + Filesystem Changeset Format" in moby's image/spec/v1.2.md.
"""

import os

from nsbox.errors import ImageError
from nsbox.image import document
from nsbox.image.config import Config
from nsbox.image.content import Content, check_count, diff_ids
from nsbox.image.digest import Expected, digest_of
from nsbox.image.files import ArchiveFiles
from nsbox.image.layer import Layer
from nsbox.image.media import Compression
from nsbox.image.span import Span

MANIFEST = "manifest.json"


def is_docker(files: ArchiveFiles) -> bool:
    """Tell a saved image from a tree that has a file of that name."""
    if MANIFEST not in files:
        return False
    found = document.read(files.span(MANIFEST).document(), MANIFEST)
    return isinstance(found, list) and all(
        isinstance(one, dict) and {"Config", "Layers"} <= one.keys() for one in found
    )


def read_docker(files: ArchiveFiles, reference: str | None) -> Content:
    """Read the image of a saved archive that bears a tag, or the only one."""
    images = document.read(files.span(MANIFEST).document(), MANIFEST)
    fitting = [one for one in images if reference is None or reference in _tags(one)]
    if len(fitting) != 1:
        tags = [tag for one in images for tag in _tags(one)]
        problem = "more than one image is" if fitting else f"no image called {reference!r} is"
        raise ImageError(f"{problem} in the archive (reference=): {', '.join(tags)}")
    return _image(files, fitting[0])


def _tags(found: dict[str, object]) -> list[str]:
    """Return an image's names, of which it may have none."""
    listed = found.get("RepoTags")
    return [str(tag) for tag in listed] if isinstance(listed, list) else []


def _image(files: ArchiveFiles, found: dict[str, object]) -> Content:
    names = found["Layers"]
    if not isinstance(names, list) or not isinstance(found["Config"], str):
        raise ImageError(f"a broken {MANIFEST}")
    content = _config(files, found["Config"])
    settings, ids = diff_ids(content)
    check_count(names, ids)
    layers = (_layer(files.span(str(name)), id_) for name, id_ in zip(names, ids, strict=True))
    return Content(Config.from_json(settings), content, tuple(layers))


def _config(files: ArchiveFiles, name: str) -> bytes:
    """Read a configuration, whose name is its digest."""
    content = files.span(name).document()
    encoded = os.path.basename(name).removesuffix(".json")
    if len(encoded) == 64:
        list(Expected("the configuration", f"sha256:{encoded}").check([content]))
    return content


def _layer(span: Span, diff_id: str) -> Layer:
    plain = Compression.of(span.start(4)) is Compression.NONE
    return Layer(span, diff_id if plain else None, span.size, diff_id)


def read_plain(files: ArchiveFiles) -> Content:
    """Take an archive of a tree for an image of one layer, about which nothing is said."""
    if not files.ended:
        raise ImageError(f"{files.path}: the archive is cut off")
    span = Span(files.path)
    digest = digest_of(span.blocks())
    rootfs = {"type": "layers", "diff_ids": [digest]}
    content = document.write(Config().to_json() | {"rootfs": rootfs})
    return Content(Config(), content, (Layer(span, digest, span.size, digest),))
