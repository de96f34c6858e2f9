"""Images put together: from an archive's files, from layers on layers, into one folder."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence

from nsbox.image import document
from nsbox.image.archive import is_docker, read_docker, read_plain
from nsbox.image.config import Config
from nsbox.image.content import Content, rootfs_ids
from nsbox.image.files import ArchiveFiles
from nsbox.image.forms import FlatForm
from nsbox.image.layer import Layer
from nsbox.image.layout import MARK, read_layout
from nsbox.image.limits import Limits
from nsbox.image.media import Compression
from nsbox.image.remove import remove_tree
from nsbox.image.unpack import unpack
from nsbox.progress import Progress


def read_archive(path: str, reference: str | None, platform: str | None, limits: Limits) -> Content:
    """Read the image of an archive, which is told by the files that are in it."""
    files = ArchiveFiles.of(path, limits)
    if MARK in files:
        return read_layout(files, reference, platform)
    return read_docker(files, reference) if is_docker(files) else read_plain(files)


def stacked(below: Content | None, layer: Layer, config: Config) -> Content:
    """Put a layer on top of an image, or of nothing; the configuration goes along."""
    base = {} if below is None else document.read_object(below.document, "the configuration")
    layers = (*(() if below is None else below.layers), layer)
    found = config.to_json(base)
    history = base.get("history")
    if not below or isinstance(history, list):
        found["history"] = [*(history or ()), {"created_by": "nsbox"}]
    found["rootfs"] = {"type": "layers", "diff_ids": [*rootfs_ids(base), layer.diff_id]}
    return Content(config, document.write(found), layers)


def compression(name: str) -> Compression:
    """Read the name of a compression."""
    names = {"none": Compression.NONE, "gzip": Compression.GZIP, "zstd": Compression.ZSTD}
    if name not in names:
        raise ValueError(f"compression: one of {', '.join(map(repr, names))}, not {name!r}")
    return names[name]


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Make a folder under another name, and give it its own when all went well."""
    if os.path.lexists(path):
        raise FileExistsError(f"{path!r} is there already")
    hidden = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(path))
    try:
        tree = os.path.join(hidden, "tree")  # in a folder that is nobody else's to enter
        os.mkdir(tree)
        os.chmod(tree, 0o755)
        yield tree
        _move(tree, path)
    finally:
        remove_tree(hidden)


def _move(tree: str, path: str) -> None:
    """Rename a folder, also one that its owner may not write, as its ``..`` changes: rename(2)."""
    held = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        closed = os.geteuid() != 0 and not mode & stat.S_IWUSR
        if closed:
            os.chmod(f"/proc/self/fd/{held}", mode | stat.S_IWUSR)
        os.rename(tree, path)
        if closed:
            os.chmod(f"/proc/self/fd/{held}", mode)
    finally:
        os.close(held)


def flatten(
    layers: Sequence[Layer], folder: str, limits: Limits, progress: Progress
) -> tuple[str, ...]:
    """Unpack layers over each other into one folder; return notes."""
    notes: list[str] = []
    total = sum(layer.size for layer in layers)
    before = 0
    for layer in layers:
        name = (layer.digest or layer.diff_id)[:19]

        def tell(count: int, before: int = before, name: str = name) -> None:
            progress(before + count, total, name)

        notes += unpack(layer, folder, FlatForm(), limits, done=tell).notes
        before += layer.size
    return tuple(notes)
