"""Images written: an OCI layout, or what docker loads."""

from collections.abc import Sequence
from typing import Any

from nsbox.image import document
from nsbox.image.content import Content
from nsbox.image.digest import blob_path, digest_of, sha256
from nsbox.image.layer import Layer
from nsbox.image.layout import INDEX, MARK, VERSION
from nsbox.image.media import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, REF_NAME
from nsbox.image.output import ArchiveOutput, FolderOutput, Output

Document = dict[str, Any]


def manifest_of(content: Content) -> bytes:
    """Return the image's manifest: the one that it came with, or OCI's for it."""
    if content.manifest is not None:
        return content.manifest
    config = {
        "mediaType": OCI_CONFIG,
        "digest": sha256(content.document),
        "size": len(content.document),
    }
    return document.write(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [_descriptor(layer) for layer in content.layers],
        }
    )


def save_layout(content: Content, path: str, reference: str) -> None:
    """Write a layout: an archive if the path ends in ``.tar``, else a folder, added to if there.

    In a folder, an image of the same name makes way; its blobs stay.
    """
    if path.endswith(".tar"):
        with ArchiveOutput(path) as archive:
            _write_layout(content, archive, [], reference)
        return
    folder = FolderOutput(path)
    existing = folder.read(INDEX)
    index = document.read_object(existing, INDEX) if existing else {}
    others = [
        one
        for one in index.get("manifests", ())
        if (one.get("annotations") or {}).get(REF_NAME) != reference
    ]
    _write_layout(content, folder, others, reference)


def _write_layout(
    content: Content, output: Output, others: Sequence[Document], reference: str
) -> None:
    for layer in content.layers:
        output.write(blob_path(_digest(layer)), layer.blob(), layer.size)
    manifest = manifest_of(content)
    for one in (content.document, manifest):
        output.write(blob_path(sha256(one)), [one], len(one))
    found = {
        "mediaType": OCI_MANIFEST,
        "digest": sha256(manifest),
        "size": len(manifest),
        "platform": _platform(content),
        "annotations": {REF_NAME: reference},
    }
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*others, found]}
    _write(output, MARK, {"imageLayoutVersion": VERSION})
    _write(output, INDEX, index)  # last: it points at what is there by now


def save_docker(content: Content, path: str, tag: str) -> None:
    """Write an archive that ``docker load`` takes, also older ones."""
    config = f"{sha256(content.document).partition(':')[2]}.json"
    with ArchiveOutput(path) as output:
        names = []
        for layer in content.layers:
            names.append(f"{layer.diff_id.partition(':')[2]}.tar")
            _write_archive(output, names[-1], layer)
        output.write(config, [content.document], len(content.document))
        _write(output, "manifest.json", [{"Config": config, "RepoTags": [tag], "Layers": names}])


def _write_archive(output: Output, name: str, layer: Layer) -> None:
    """Write a layer's archive, which is longer than its blob: its length is known by reading it."""
    size = 0
    stream = layer.archive(1 << 62)
    for block in stream.rest():
        size += len(block)
    output.write(name, layer.archive(1 << 62).rest(), size)


def _write(output: Output, name: str, content: Document | list[Any]) -> None:
    data = document.write(content)
    output.write(name, [data], len(data))


def _digest(layer: Layer) -> str:
    return layer.digest or digest_of(layer.blob())


def _descriptor(layer: Layer) -> Document:
    media_type = layer.compression.media_type
    return {"mediaType": media_type, "digest": _digest(layer), "size": layer.size}


def _platform(content: Content) -> Document:
    config = content.config
    platform = {"architecture": config.architecture, "os": config.os}
    return platform | ({"variant": config.variant} if config.variant else {})
