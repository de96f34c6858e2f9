"""Kernels to boot: the image, and the modules that a guest needs before it has a root."""

import lzma
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_console", "virtiofs"),
    *("crc32c_generic", "ext4", "overlay"),
)
"""What the way to the root takes. Others are loaded when first used, by modprobe(8)."""

CACHE = Path(os.environ.get("NSBOX_GUEST_KERNEL_CACHE", "/var/cache/nsbox-ci/kernels"))
"""Where `fetch_kernels.py` unpacks the kernels of other Debian releases."""


@attrs.frozen
class Kernel:
    """One kernel: its image, named as Debian does, and the folder of its modules."""

    image: Path
    modules: Path

    @classmethod
    def of(cls, image: Path) -> "Kernel":
        """Find the modules beside an image: installed ones, or of an unpacked package.

        Raises `FileNotFoundError` where they or the image are missing.
        """
        image = image.resolve(strict=True)
        for folder in ("lib", "usr/lib"):
            modules = image.parent.parent / folder / "modules" / _release(image)
            if (modules / "modules.dep").exists():
                return cls(image, modules)
        raise FileNotFoundError(f"no lib/modules/{_release(image)}/modules.dep beside {image}")

    @property
    def release(self) -> str:
        """What uname(2) will say, such as ``6.1.0-56-cloud-amd64``."""
        return _release(self.image)

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of the release, for comparing."""
        return _version(self.image)

    def early_modules(self) -> Iterator[tuple[str, bytes]]:
        """Name and read what is to be loaded first, each after what it depends on."""
        known = dict(_dependencies(self.modules / "modules.dep"))
        listed = []
        for name in MODULES:  # one that is not known is built in
            listed += [path for path in known.get(name, ()) if path not in listed]
        for path in listed:
            content = (self.modules / path).read_bytes()
            yield _name(path), lzma.decompress(content) if path.endswith(".xz") else content


def installed() -> list[Kernel]:
    """List the kernels of the machine's own Debian packages, the newest first."""
    images = sorted(Path("/boot").glob("vmlinuz-*-cloud-*"), key=_version, reverse=True)
    return [Kernel.of(image) for image in images]


def fetched() -> list[Kernel]:
    """List the kernels that were unpacked into the cache, the oldest first."""
    return [Kernel.of(image) for image in sorted(CACHE.glob("*/boot/vmlinuz-*"), key=_version)]


def _release(image: Path) -> str:
    return image.name.removeprefix("vmlinuz-")


def _version(image: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", _release(image)))


def _dependencies(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Parse modules.dep(5): for each name the paths to load, in their order."""
    for line in file.read_text().splitlines():
        path, _, needed = line.partition(":")
        yield _name(path), [*reversed(needed.split()), path]


def _name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")
