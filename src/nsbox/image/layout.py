"""Image layouts of OCI, read from a folder or an archive of one.

See https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

from nsbox.errors import ImageError
from nsbox.image import document
from nsbox.image.choose import choose, descriptors
from nsbox.image.config import Config
from nsbox.image.content import Content, check_count, diff_ids
from nsbox.image.descriptor import Descriptor
from nsbox.image.files import Files
from nsbox.image.layer import Layer
from nsbox.image.media import OCI_MANIFEST

MARK = "oci-layout"
INDEX = "index.json"
VERSION = "1.0.0"


def read_layout(files: Files, reference: str | None, platform: str | None) -> Content:
    """Read the image of a layout that is asked for. Its layers are checked as they are read."""
    mark = document.read_object(files.span(MARK).document(), MARK)
    if mark.get("imageLayoutVersion") != VERSION:
        raise ImageError(f"a layout of version {mark.get('imageLayoutVersion')!r}, not {VERSION}")
    index = descriptors(files.span(INDEX).document(), INDEX)
    return read_manifest(choose(index, files, reference, platform), files)


def read_manifest(chosen: Descriptor, files: Files) -> Content:
    """Read an image by its manifest. See manifest.md in OCI's image-spec."""
    manifest = chosen.document(files, "the manifest")
    found = document.read_object(manifest, "the manifest")
    config = Descriptor.of(found.get("config"), "the manifest's config")
    content = config.document(files, "the configuration")
    settings, ids = diff_ids(content)
    layers = document.items(found, "layers", "the manifest")
    check_count(layers, ids)
    return Content(
        Config.from_json(settings),
        content,
        tuple(_layer(*both, files) for both in zip(layers, ids, strict=True)),
        manifest if chosen.media_type == OCI_MANIFEST else None,
    )


def _layer(found: dict[str, object], diff_id: str, files: Files) -> Layer:
    blob = Descriptor.of(found, "a layer of the manifest")
    return Layer(blob.span(files), blob.digest, blob.size, diff_id)
