"""A store: layers unpacked once, named by their content, for all boxes of all processes.

    STORE/layers/CHAIN_ID/tree         the layer, as a lower directory of overlay mounts
    STORE/layers/CHAIN_ID/record.json  what it was, and what could not be unpacked as it is
    STORE/locks/CHAIN_ID               see `nsbox.image.locks`
    STORE/new/CHAIN_ID.*               being unpacked or removed; of nobody if the lock is free
    STORE/mapped-MAP/                  the same again, for an id map: see `Store`

A layer is unpacked in ``new`` and then renamed, so it is there wholly or not at all, whenever its
maker was killed. It is named by its chain id, the digest of itself and all below it, because what
an archive leaves out is taken over from the layers below.
"""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from nsbox.errors import NsboxError
from nsbox.fields import StrPath
from nsbox.image import document, locks
from nsbox.image.digest import chain_id, sha256
from nsbox.image.layer import Layer
from nsbox.image.limits import Limits
from nsbox.image.worker import Here, Inside, Worker
from nsbox.namespace import IDMap
from nsbox.progress import Progress, silent

if TYPE_CHECKING:
    from nsbox.image.image import Image

_MOMENT = 0.001
"""Seconds until it is tried again to have a layer alone."""


@attrs.frozen
class Unpacked:
    """A layer in a store: its folder, and lines on what is not as the image has it."""

    chain_id: str
    path: str
    notes: tuple[str, ...]
    opaque_root: bool


class Store:
    """A folder of unpacked layers. Nothing is open in it: there is no need to close it.

    The folder is made, for its owner alone, as programs that images bring with set-user-ID bits
    must be in reach of nobody else. One that is there must be the caller's too, and nobody else's
    to write, or else its first use raises `NsboxError`. With `sync`, a layer is on the disk before
    it counts as there (sync(2), once for each layer); without, it outlives whatever kills a
    process, but after a power failure the layers unpacked in the last minute are to be removed
    with `gc`.

    An ordinary user's layers are all that user's, as in the user's boxes root is the only one.
    With an `id_map` of ranges (``IDMap.subordinate()``) their owners are kept: such layers are
    unpacked in a user namespace of that map, stand apart in the store, and are for boxes of that
    map alone.
    """

    def __init__(self, path: StrPath, *, sync: bool = False, id_map: IDMap | None = None) -> None:
        self.path = self._top = os.path.abspath(path)
        self.sync, self.id_map = sync, id_map
        self._worker: Worker = Here()
        if id_map is not None:
            self.path = os.path.join(self.path, f"mapped-{_mark(id_map)}")
            self._worker = Inside(id_map)

    def __repr__(self) -> str:
        return f"Store({self.path!r})"

    def unpack(
        self,
        layers: Sequence[Layer],
        *,
        limits: Limits = Limits(),
        progress: Progress | None = None,
    ) -> tuple[Unpacked, ...]:
        """Return the layers unpacked, the lowest first, unpacking those that are not there.

        Each is locked for this process: `release` is to be called with what this returns. Raises
        `ImageError` for a layer that is not what it should be, of which nothing stays, and
        `NsboxError` for a store that is somebody else's.
        """
        self._make()
        done: list[Unpacked] = []
        report = progress or silent
        total = sum(layer.size for layer in layers)
        before = 0
        try:
            for layer in layers:
                name = (layer.digest or layer.diff_id)[:19]
                finished = before

                def tell(count: int, finished: int = finished, name: str = name) -> None:
                    report(finished + count, total, name)

                done.append(self._layer(layer, done, limits, tell))
                before += layer.size
                tell(layer.size)
        except BaseException:
            self.release(done)
            raise
        return tuple(done)

    def release(self, layers: Iterable[Unpacked]) -> None:
        """Let go of the locks of layers that `unpack` returned."""
        for layer in layers:
            locks.release(self._lock(layer.chain_id))

    def gc(self, keep: Iterable["Image"] = ()) -> tuple[str, ...]:
        """Remove all layers but those in use by a living process and those of images to keep.

        Returns the names of those removed. What a killed process left behind goes too.
        """
        self._make()
        kept = {_name(chain) for image in keep for chain in image.chain_ids}
        names = [name for name in sorted(os.listdir(self._layers)) if name not in kept]
        removed = tuple(name for name in names if self._remove(name))
        for name in {entry.partition(".")[0] for entry in os.listdir(self._new)}:
            with locks.alone(self._lock(name)) as lock:
                if lock is not None:
                    self._sweep(name)
        return removed

    @property
    def _layers(self) -> str:
        return os.path.join(self.path, "layers")

    @property
    def _new(self) -> str:
        return os.path.join(self.path, "new")

    def _lock(self, name: str) -> str:
        return os.path.join(self.path, "locks", name.rpartition(":")[2])

    def _make(self) -> None:
        """Make the store's folders. Each is checked before the next is made in it, or trusted."""
        locked = os.path.join(self.path, "locks")
        for folder in (self._top, self.path, self._layers, locked, self._new):
            os.makedirs(folder, 0o700, exist_ok=True)
            _check_owned(folder)

    def _layer(
        self,
        layer: Layer,
        below: Sequence[Unpacked],
        limits: Limits,
        tell: Callable[[int], None],
    ) -> Unpacked:
        chain = chain_id(below[-1].chain_id if below else None, layer.diff_id)
        while True:
            locks.share(self._lock(chain))
            found = self._find(chain)
            if found is not None:
                return found
            locks.release(self._lock(chain))
            # Not waited for: whoever was faster keeps it shared as long as the layer is in use.
            with locks.alone(self._lock(chain)) as lock:
                if lock is None:
                    time.sleep(_MOMENT)  # others are only looking, or unpack: then `share` waits
                elif self._find(chain) is None:
                    self._unpack(layer, chain, below, limits, tell)

    def _find(self, chain: str) -> Unpacked | None:
        folder = os.path.join(self._layers, _name(chain))
        try:
            with open(os.path.join(folder, "record.json"), "rb") as file:
                record = document.read_object(file.read(), file.name)
        except FileNotFoundError:
            return None
        tree = os.path.join(folder, "tree")
        return Unpacked(chain, tree, tuple(record["notes"]), bool(record["opaque_root"]))

    def _unpack(
        self,
        layer: Layer,
        chain: str,
        below: Sequence[Unpacked],
        limits: Limits,
        tell: Callable[[int], None],
    ) -> None:
        """Unpack a layer that is not there, its lock held alone."""
        name = _name(chain)
        self._sweep(name)
        folder = tempfile.mkdtemp(prefix=f"{name}.", dir=self._new)
        try:
            tree = os.path.join(folder, "tree")
            os.mkdir(tree, 0o755)
            shown = [one.path for one in visible(below)]
            extracted = self._worker.unpack(layer, tree, shown, limits, tell)
            record = attrs.asdict(extracted) | {"chain_id": chain, "diff_id": layer.diff_id}
            with open(os.path.join(folder, "record.json"), "wb") as file:
                file.write(document.write(record))
            if self.sync:
                os.sync()
            os.rename(folder, os.path.join(self._layers, name))
        except BaseException:
            self._worker.remove(folder)
            raise

    def _remove(self, name: str) -> bool:
        """Remove a layer that nobody uses; a crash on the way leaves it to `_sweep`."""
        with locks.alone(self._lock(name)) as lock:
            if lock is None:
                return False
            gone = os.path.join(self._new, f"{name}.removed")
            try:
                os.rename(os.path.join(self._layers, name), gone)
            except FileNotFoundError:
                return False
            self._sweep(name)
            os.unlink(self._lock(name))
        return True

    def _sweep(self, name: str) -> None:
        """Remove what others left half made or half removed; the layer's lock is held alone."""
        for entry in os.listdir(self._new):
            if entry.startswith(f"{name}."):
                self._worker.remove(os.path.join(self._new, entry))


def visible(layers: Sequence[Unpacked]) -> tuple[Unpacked, ...]:
    """Return the layers from the last one on whose root hides those below it."""
    first = max((at for at, layer in enumerate(layers) if layer.opaque_root), default=0)
    return tuple(layers[first:])


def _mark(id_map: IDMap) -> str:
    """Return what tells a map from others: who owns a layer's files depends on it."""
    return sha256(repr(attrs.astuple(id_map)).encode()).partition(":")[2][:16]


def _check_owned(folder: str) -> None:
    """Refuse a folder into which somebody else could put layers of theirs."""
    status = os.stat(folder)
    if status.st_uid != os.geteuid():
        raise NsboxError(f"store: {folder} belongs to user {status.st_uid}, not to the caller")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NsboxError(f"store: others may write into {folder}: chmod go-w")


def _name(chain: str) -> str:
    """Return the name of a layer's folder: no colon, which separates an overlay's folders."""
    return chain.partition(":")[2]
