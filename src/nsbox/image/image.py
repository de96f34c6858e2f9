"""An image: opened or built, unpacked, run and saved."""

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self

import attrs

from nsbox.display import Displayed
from nsbox.errors import ImageError
from nsbox.fields import StrPath
from nsbox.image.assemble import compression as read_compression
from nsbox.image.assemble import flatten, new_folder, read_archive, stacked
from nsbox.image.blob import new_layer
from nsbox.image.boxed import box_spec, root
from nsbox.image.compression import bounded, decompress
from nsbox.image.config import Config
from nsbox.image.content import Content
from nsbox.image.digest import chain_id, sha256
from nsbox.image.files import FolderFiles
from nsbox.image.layer import Layer
from nsbox.image.layout import MARK, read_layout
from nsbox.image.limits import Limits
from nsbox.image.media import Compression
from nsbox.image.pack import Packing, pack
from nsbox.image.save import manifest_of, save_docker, save_layout
from nsbox.image.scratch import Scratch
from nsbox.image.span import Span
from nsbox.image.store import Store, Unpacked
from nsbox.progress import Progress, silent
from nsbox.rootfs import RootFS
from nsbox.spec import BoxSpec


class Image(Displayed):
    """A root file system in layers, with what it says about running it: made by `open` or `build`.

    Its layers stay where they are, and are read when they are needed. `close`, or the end of a
    ``with`` block, lets go of the locks of the layers that a `spec` was made for; without it they
    are held as long as the process lives, for a box may be running on them.
    """

    def __init__(self, content: Content, keeps: object = None) -> None:
        self.config: Config = content.config
        self._content, self._keeps = content, keeps
        self._used: list[tuple[Store, tuple[Unpacked, ...]]] = []

    @classmethod
    def open(
        cls,
        path: StrPath,
        *,
        reference: str | None = None,
        platform: str | None = None,
        limits: Limits = Limits(),
    ) -> Self:
        """Open an image: an OCI layout, what ``docker save`` wrote, or an archive of a plain tree.

        A layout is a folder or an archive of one, which gzip or zstd may have compressed. Of an
        index with more than one image, `reference` is the name of the one that is meant (the
        tag), and `platform` what it is for, ``os/architecture`` or ``os/architecture/variant``; by
        default this machine's. An archive that was compressed is decompressed to a file without
        a name in the folder for temporary ones, if it is within `limits`; so must be the number
        of an archive's entries. Raises `ImageError` for what is no image, `OSError` for what
        cannot be read, `UnsupportedError` for zstd where no package reads it.

        See https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
        """
        text = os.path.abspath(os.fspath(path))
        if os.path.isdir(text):
            files = FolderFiles(text)
            if MARK not in files:
                raise ImageError(f"{text} is no OCI layout: it has no file {MARK}")
            return cls(read_layout(files, reference, platform))
        span, scratch = Span(text), None
        if Compression.of(span.start(4)) is not Compression.NONE:
            scratch = Scratch(bounded(decompress(span.blocks()), limits.size))
            span = scratch.span
        return cls(read_archive(span.path, reference, platform, limits), scratch)

    @classmethod
    def build(
        cls,
        tree: StrPath,
        *,
        cmd: Iterable[str] | None = None,
        entrypoint: Iterable[str] | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        ports: Iterable[str] | None = None,
        volumes: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
        stop_signal: str | None = None,
        created: str | None = None,
        base: "Image | None" = None,
        mtime: int | None = None,
        compression: str = "gzip",
    ) -> Self:
        """Build an image of a folder, on top of `base` if there is one.

        What is None is as in `base`; `env` and `labels` are added to its. The same folder gives
        the same image, byte for byte; with `mtime` (seconds since 1970) also if it was made anew.
        `compression` is "gzip", "zstd" or "none". Owners are kept; when an ordinary user builds,
        what is that user's is root's in the image. Sockets are left out.
        """
        below = None if base is None else base._content
        config = Config() if base is None else base.config
        given: dict[str, Any] = {
            "cmd": cmd,
            "entrypoint": entrypoint,
            "env": None if env is None else config.env | env,
            "user": user,
            "workdir": workdir,
            "ports": ports,
            "volumes": volumes,
            "labels": None if labels is None else config.labels | labels,
            "stop_signal": stop_signal,
            "created": created,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        config = attrs.evolve(config, **changes)
        packing = Packing(mtime=mtime, own_to_root=os.geteuid() != 0)
        layer = new_layer(pack(tree, packing), read_compression(compression))
        return cls(stacked(below, layer, config), base)

    def diff(self, upper: StrPath, *, mtime: int | None = None, compression: str = "gzip") -> Self:
        """Return this image with one more layer: what a box has written into a kept upper folder.

        `upper` is that of ``RootFS.overlay(..., upper=...)``, and no box may be writing into it.
        What was deleted there becomes whiteouts. Raises `UnsupportedError` where the overlay was
        mounted so that its upper folder alone is not all.
        """
        packing = Packing(mtime=mtime, own_to_root=os.geteuid() != 0, overlay=True)
        layer = new_layer(pack(upper, packing), read_compression(compression))
        return type(self)(stacked(self._content, layer, self.config), self)

    @property
    def digest(self) -> str:
        """The digest of its manifest, by which registries know it."""
        return sha256(manifest_of(self._content))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, the lowest first."""
        return self._content.layers

    @property
    def chain_ids(self) -> tuple[str, ...]:
        """The name of each layer together with those below it. See OCI's config.md, "ChainID"."""
        found: list[str] = []
        for layer in self.layers:
            found.append(chain_id(found[-1] if found else None, layer.diff_id))
        return tuple(found)

    def spec(
        self,
        *,
        store: StrPath | Store,
        limits: Limits = Limits(),
        progress: Progress | None = None,
    ) -> BoxSpec:
        """Return the spec of a box that runs the image, unpacking what `store` has not yet.

        Its layers are the lower folders of an overlay. ``args``, ``env``, ``cwd``, ``user`` and
        ``group`` are those of the configuration; volumes that are empty in the image become file
        systems in memory. The layers stay locked until this image is closed. Raises `ImageError`
        for a layer that is not what it should be: nothing of it is left in the store.
        """
        chosen = _store(store)
        layers = self.unpacked(store=chosen, limits=limits, progress=progress)
        return box_spec(self.config, layers, chosen.id_map)

    def rootfs(self, *, store: StrPath | Store, upper: StrPath | None = None) -> RootFS:
        """Return the root of `spec` alone: see `RootFS.image`, which is the same."""
        return root(self.config, self.unpacked(store=store), upper)

    def unpacked(
        self,
        *,
        store: StrPath | Store,
        limits: Limits = Limits(),
        progress: Progress | None = None,
    ) -> tuple[Unpacked, ...]:
        """Return its layers in a store, the lowest first, unpacking and locking them as `spec`.

        Their ``notes`` say what is not as in the image, and why.
        """
        chosen = _store(store)
        layers = chosen.unpack(self.layers, limits=limits, progress=progress)
        self._used.append((chosen, layers))
        return layers

    def unpack(
        self, folder: StrPath, *, limits: Limits = Limits(), progress: Progress | None = None
    ) -> tuple[str, ...]:
        """Unpack all layers into one folder that does not exist yet; return notes.

        What lies there is the image as a box sees it: for programs that know nothing of overlays.
        If it fails, the folder is not there. Raises as `spec` does, and `FileExistsError`.
        """
        path = os.path.abspath(os.fspath(folder))
        with new_folder(path) as made:
            return flatten(self.layers, made, limits, progress or silent)

    def save(self, path: StrPath, *, reference: str = "latest") -> None:
        """Write it as an OCI layout: an archive if the name ends in ``.tar``, else a folder.

        A layout that is there already gets it as one more image; one of the same `reference`
        makes way.
        """
        save_layout(self._content, os.path.abspath(os.fspath(path)), reference)

    def save_docker(self, path: StrPath, *, tag: str) -> None:
        """Write it as an archive for ``docker load``, under a name such as ``"tool:1.0"``."""
        save_docker(self._content, os.path.abspath(os.fspath(path)), tag)

    def close(self) -> None:
        """Let go of the layers that are in use, for `Store.gc` to remove. Twice is harmless."""
        while self._used:
            store, layers = self._used.pop()
            store.release(layers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Image {self.digest[:19]} of {len(self.layers)} layers>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Image is open here: pickle the BoxSpec that spec() returns")


def _store(store: StrPath | Store) -> Store:
    return store if isinstance(store, Store) else Store(store)
