"""Images: unpacking against `umoci unpack` and `tar -x`, boxes on ten layers against one folder.

    python benchmarks/images.py [--tree FOLDER] [--rounds N] [--json FILE]

Contestants take turns, in another order each round; the ratio is taken round by round.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from report import Report, Times, interleaved, parser, ratio, timed

import nsbox
from nsbox import BoxSpec, Image, RootFS

LAYERS = 10
Contestant = Callable[[Path], None]


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    tree = os.environ.get("NSBOX_DEBIAN_TREE", "/var/cache/nsbox-ci/debian")
    arguments.add_argument("--tree", type=Path, default=Path(tree), help="what is in the image")
    arguments.add_argument("--boxes", type=int, default=30, help="boxes started in each round")
    options = arguments.parse_args()
    report = Report("images")
    with tempfile.TemporaryDirectory(dir=options.tree.parent) as name:
        folder = Path(name)
        for compression in ("gzip", "none"):
            unpacking(report, folder / compression, options.tree, compression, options.rounds)
        starting(report, folder / "boxes", options.rounds, options.boxes)
    report.finish(options.json)


def unpacking(report: Report, folder: Path, tree: Path, compression: str, rounds: int) -> None:
    folder.mkdir()
    image = Image.build(tree, compression=compression)
    image.save(folder / "layout")
    image = Image.open(folder / "layout")
    (layer,) = image.layers
    blob, flag = layer.span.path, "z" if compression == "gzip" else ""
    contestants: dict[str, Contestant] = {
        "nsbox, into a store": lambda target: in_store(image, target),
        "nsbox, into a folder": lambda target: ignore(image.unpack(target)),
        "tar -x --xattrs": lambda target: tar(blob, flag, target),
    }
    if shutil.which("umoci"):
        contestants["umoci unpack"] = lambda target: umoci(folder / "layout", target)
    title = f"unpacking {layer.size >> 20} MiB ({compression}) of {tree}"
    tell(report, title, measure(contestants, rounds, folder / "target"), "tar -x --xattrs")


def in_store(image: Image, target: Path) -> None:
    with image:
        image.unpacked(store=target)


def ignore(_: object) -> None:
    """What is measured is how long it took."""


def tar(blob: str, flag: str, target: Path) -> None:
    target.mkdir()
    call(
        "tar",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "-C",
        str(target),
        f"-x{flag}f",
        blob,
    )


def umoci(layout: Path, target: Path) -> None:
    call("umoci", "unpack", "--image", f"{layout}:latest", str(target))


def call(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(contestants: dict[str, Contestant], rounds: int, target: Path) -> Times:
    def turn(contestant: Contestant) -> float:
        os.sync()  # nobody pays for what another has left to be written
        took = timed(lambda: contestant(target))()
        shutil.rmtree(target, ignore_errors=True)
        return took

    turns = {name: partial(turn, contestant) for name, contestant in contestants.items()}
    return interleaved(turns, rounds)


def starting(report: Report, folder: Path, rounds: int, boxes: int) -> None:
    """Open an image whose layers are unpacked and start a box on it, as against a folder."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("needs busybox (Debian: busybox-static)")
    image = None
    whole = folder / "whole"
    for number in range(LAYERS):
        tree = folder / f"tree{number}"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(busybox, tree / f"bin/{'busybox' if number == 0 else number}")
        image = Image.build(tree, base=image, cmd=["/bin/busybox", "true"])
    assert image is not None
    image.save(folder / "layout")
    image.unpack(whole)
    store = folder / "store"
    with Image.open(folder / "layout") as opened:
        spec = opened.spec(store=store)

    def repeated(start: Callable[[], object]) -> Contestant:
        def contestant(_: Path) -> None:
            for _number in range(boxes):
                start()

        return contestant

    def fresh() -> None:
        with Image.open(folder / "layout") as image:
            nsbox.run(None, image.spec(store=store), check=True)

    command = ["/bin/busybox", "true"]
    directory = BoxSpec(rootfs=RootFS.directory(whole))
    overlay = BoxSpec(rootfs=RootFS.overlay(whole))
    contestants: dict[str, Contestant] = {
        "a directory": repeated(lambda: nsbox.run(command, directory, check=True)),
        "an overlay of that directory": repeated(lambda: nsbox.run(command, overlay, check=True)),
        "the image, its spec kept": repeated(lambda: nsbox.run(None, spec, check=True)),
        "the image, opened anew each time": repeated(fresh),
    }
    measured = measure(contestants, rounds, folder / "none")
    scaled = {name: [one / boxes for one in times] for name, times in measured.items()}
    tell(report, f"a box on {LAYERS} layers, start to end", scaled, "a directory")


def tell(report: Report, title: str, times: Times, reference: str) -> None:
    rows = [
        (name, statistics.median(own), ratio(own, times[reference]))
        for name, own in sorted(times.items(), key=lambda item: statistics.median(item[1]))
    ]
    report.table(title, ("ms", f"x {reference}"), rows)
    report.samples(title, times)


if __name__ == "__main__":
    main()
