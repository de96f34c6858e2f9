"""Somebody swaps a folder for a link, over and over, while boxes start in the tree."""

import contextlib
import ctypes
import os
import shutil
import threading
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Mount, RootFS

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.mark.parametrize("overlay", [False, True], ids=["directory", "overlay"])
def test_mount_points_are_made_in_the_tree_or_not_at_all(
    tmp_path: Path, overlay: bool, busybox: str
) -> None:
    tree, canary = tmp_path / "tree", tmp_path / "canary"
    for folder in (tree / "bin", tree / "data", canary):
        folder.mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/true")
    link = tree / "link"
    link.symlink_to(canary)
    flips, stop = 0, threading.Event()

    def flip() -> None:
        nonlocal flips
        places = os.fsencode(tree / "data"), os.fsencode(link)
        while not stop.is_set() or flips < 10_000:
            assert LIBC.renameat2(AT_FDCWD, places[0], AT_FDCWD, places[1], RENAME_EXCHANGE) == 0
            flips += 1

    rootfs = RootFS.overlay(tree) if overlay else RootFS.directory(tree)
    mounts = [Mount.tmpfs("/data/a"), Mount.file("/data/b/file", "hostile")]
    started = 0
    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(40):
            with contextlib.suppress(OSError, ValueError):
                nsbox.run(["/bin/true"], BoxSpec(rootfs=rootfs.with_mounts(*mounts)))
                started += 1
    finally:
        stop.set()
        thread.join()
    assert started > 0
    assert flips >= 10_000
    assert list(canary.iterdir()) == []
