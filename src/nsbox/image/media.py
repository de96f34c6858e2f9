"""Media types: what a blob says it is, in the words of OCI and of docker.

See https://github.com/opencontainers/image-spec/blob/main/media-types.md.
"""

import enum

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEXES = (OCI_INDEX, DOCKER_INDEX)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation by which an index names an image: a tag, mostly."""


class Compression(enum.Enum):
    """How a layer's tar is compressed; the value is what its OCI media type ends in."""

    NONE = ""
    GZIP = "+gzip"
    ZSTD = "+zstd"

    @property
    def magic(self) -> bytes:
        """The bytes that such a blob begins with. See RFC 1952, RFC 8878."""
        return {"": b"", "+gzip": b"\x1f\x8b", "+zstd": b"\x28\xb5\x2f\xfd"}[self.value]

    @property
    def media_type(self) -> str:
        """The OCI media type of such a layer."""
        return OCI_LAYER + self.value

    @classmethod
    def of(cls, start: bytes) -> "Compression":
        """Tell it from a blob's first bytes: media types and file names are wrong too often."""
        found = (one for one in (cls.GZIP, cls.ZSTD) if start.startswith(one.magic))
        return next(found, cls.NONE)
