"""A store among many processes: each layer is unpacked once, wholly, whoever is killed meanwhile."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from nsbox import IDMap, Image, NsboxError, UnsupportedError
from nsbox.image import Store
from nsbox.image.span import Span

pytestmark = pytest.mark.once

UNPACK = """
import sys
from nsbox import Image
image = Image.open(sys.argv[1])
layers = image.unpacked(store=sys.argv[2])
print(*(layer.path for layer in layers), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image of three layers, of some thousand files."""
    image = None
    for number in range(3):
        tree = tmp_path / f"tree{number}"
        for at in range(1200):
            path = tree / f"folder{at % 40}" / f"{number}-{at}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(at).randbytes(at))
        image = Image.build(tree, base=image)
    assert image is not None
    image.save(tmp_path / "layout")
    return tmp_path / "layout"


def start(layout: Path, store: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", UNPACK, str(layout), str(store)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate("\n", timeout=120)
    assert process.returncode == 0
    return out


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def expected(tmp_path: Path) -> list[dict[str, bytes]]:
    return [contents(tmp_path / f"tree{number}") for number in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store's folder, in which no lock and nothing unfinished is left."""
    path = tmp_path / "store"
    yield path
    assert not list((path / "new").iterdir())


@pytest.mark.parametrize("attempt", range(5))
def test_four_at_once_unpack_once(attempt: int, layout: Path, store: Path, tmp_path: Path) -> None:
    processes = [start(layout, store) for _ in range(4)]
    outputs = {end(process) for process in processes}
    assert len(outputs) == 1
    (paths,) = outputs
    assert [contents(Path(path)) for path in paths.split()] == expected(tmp_path)
    assert len(list((store / "layers").iterdir())) == 3


def test_killed_at_any_moment_it_leaves_what_the_next_one_completes(
    layout: Path, store: Path, tmp_path: Path
) -> None:
    moments = random.Random(0)
    for _ in range(6):
        processes = [start(layout, store) for _ in range(2)]
        deadline = time.monotonic() + 20
        while not (store / "new").exists() or not any((store / "new").iterdir()):
            if time.monotonic() > deadline or processes[0].poll() is not None:
                break
            time.sleep(0.002)
        time.sleep(moments.random() * 0.2)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        for layer in (store / "layers").iterdir() if (store / "layers").exists() else ():
            found = contents(layer / "tree")
            assert found in expected(tmp_path)  # whole, or not there
    paths = end(start(layout, store)).split()
    assert [contents(Path(path)) for path in paths] == expected(tmp_path)


def test_what_a_killed_process_left_is_removed_by_gc(layout: Path, store: Path) -> None:
    process = start(layout, store)
    while not list(store.glob("new/*")) and not list(store.glob("layers/*")):  # or done already
        time.sleep(0.002)
    process.kill()
    process.communicate()
    Store(store).gc()
    assert not list((store / "new").iterdir())
    assert not list((store / "layers").iterdir())


def test_layers_in_use_and_layers_to_keep_are_not_removed(
    layout: Path, store: Path, tmp_path: Path
) -> None:
    keeper = Store(store)
    using = start(layout, store)
    assert using.stdout is not None
    using.stdout.readline()
    assert keeper.gc() == ()
    end(using)

    small = tmp_path / "small"
    small.mkdir()
    other = Image.build(small)
    with other:
        other.unpacked(store=keeper)
        assert len(keeper.gc(keep=[Image.open(layout)])) == 0
        removed = keeper.gc()  # this process uses the small one
        assert len(removed) == 3
    assert len(keeper.gc()) == 1
    assert not list((store / "layers").iterdir())
    assert not list((store / "locks").iterdir())


def test_a_common_base_is_kept_once(store: Path, tmp_path: Path) -> None:
    for name in ("base", "one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    base = Image.build(tmp_path / "base")
    images = [Image.build(tmp_path / name, base=base) for name in ("one", "two")]
    lowest = set()
    for image in images:
        with image:
            lowest.add(image.unpacked(store=store)[0].path)
    assert len(lowest) == 1
    assert len(list((store / "layers").iterdir())) == 3


def test_a_store_is_its_owner_s_alone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with Image.build(tmp_path / "tree") as image:
        image.unpacked(store=Store(store, sync=True))
    assert store.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("within", ["", "layers", "locks", "new"])
def test_a_store_that_others_could_fill_is_refused(
    store: Path, tmp_path: Path, within: str
) -> None:
    (tmp_path / "tree").mkdir()
    Store(store).gc()
    with Image.build(tmp_path / "tree") as image:
        (store / within).chmod(0o770)
        with pytest.raises(NsboxError, match="others may write"):
            image.unpacked(store=store)
        (store / within).chmod(0o755)
        os.chown(store / within, 1234, -1)
        with pytest.raises(NsboxError, match="belongs to user 1234"):
            image.unpacked(store=store)
        os.chown(store / within, os.geteuid(), -1)
        image.unpacked(store=store)


@pytest.mark.usefixtures("root")
def test_each_id_map_has_layers_of_its_own(store: Path, tmp_path: Path) -> None:
    """The same layer twice, of files whose owners are not the same outside."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").touch()
    os.chown(tree / "file", 5, 6)
    Store(store).gc()
    with Image.build(tree) as image:
        for base in (100_000, 200_000):
            id_map = IDMap.ranges([(0, 0, 1), (1, base, 1000)])
            (layer,) = image.unpacked(store=Store(store, id_map=id_map))
            status = os.stat(Path(layer.path) / "file")
            assert (status.st_uid, status.st_gid) == (base + 4, base + 5)
            assert Store(store, id_map=IDMap.ranges(id_map.uids)).path in layer.path


MAP = IDMap.ranges([(0, 0, 1), (1, 100_000, 1000)])


@pytest.mark.usefixtures("root")
def test_what_another_process_cannot_read_is_said_by_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here zstd, of a layer that goes into a store of an id map."""
    (tmp_path / "tree").mkdir()
    image = Image.build(tmp_path / "tree")
    (tmp_path / "blob").write_bytes(bytes.fromhex("28b52ffd") + bytes(100))
    span = Span(str(tmp_path / "blob"))
    layer = attrs.evolve(image.layers[0], span=span, digest=None, size=span.size)
    for name in ("backports", "compression"):
        (tmp_path / "without" / name).mkdir(parents=True)
        (tmp_path / "without" / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "without")
    with pytest.raises(UnsupportedError, match="zstd layers take"):
        Store(store, id_map=MAP).unpack([layer])
    Store(store).gc()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("id_map", [None, MAP], ids=["here", "mapped"])
def test_the_entry_that_did_not_fit_is_named(
    store: Path, tmp_path: Path, id_map: IDMap | None
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(random.Random(0).randbytes(300_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Image.build(tree) as image:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        try:
            with pytest.raises(OSError, match="too large") as caught:
                image.unpacked(store=Store(store, id_map=id_map))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.__notes__ == ["while unpacking 'large'"]
    Store(store).gc()


def test_a_layer_that_is_used_twice_is_locked_until_both_let_go(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    image = Image.build(tmp_path / "tree")
    image.save(tmp_path / "layout")
    other = Image.open(tmp_path / "layout")
    keeper = Store(store)
    image.unpacked(store=keeper)
    other.unpacked(store=keeper)
    image.close()
    image.close()
    assert keeper.gc() == ()
    other.close()
    assert len(keeper.gc()) == 1
