"""Boxes that begin with a copy of a root see what the first of them saw, and nothing older."""

import errno
import gc
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fresh import run_afresh

import nsbox
from nsbox import BoxSpec, Mount, Namespace, NamespaceType, RootFS, Security, _native
from nsbox.kept import KEPT
from nsbox.perform import perform
from nsbox.plan import Step

LOOK = """
cut -d' ' -f5,6 /proc/self/mountinfo | sort
find / -xdev -printf '%p %y %m %u %l\\n' | sort
ls -lRn --time-style=+ /dev /tmp /proc/sys/kernel | grep -v ^total
cat /proc/keys /proc/self/status | grep -v -e ctxt -e ^Vm -e Rss -e Pid -e SigQ
"""

pytestmark = pytest.mark.usefixtures("root")


def seen(spec: BoxSpec, script: str = LOOK) -> str:
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, check=True)
    return str(done.stdout)


def copies(spec: BoxSpec) -> bool:
    kept = KEPT.recall(spec, nsbox.options.NO_OPTIONS, None)
    return kept is not None and kept.quickest is not kept


@pytest.fixture
def elsewhere() -> Namespace:
    with Namespace.create(NamespaceType.MNT) as namespace:
        yield namespace


def test_later_boxes_see_what_the_first_one_saw(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    mounts = (
        Mount.bind(tmp_path, "/data"),
        Mount.bind(tmp_path / "file", "/tmp/file", readonly=True),
        Mount.tmpfs("/var", size=1 << 20),
        Mount.proc("/other"),
    )
    for spec in (
        BoxSpec(hostname="copied"),
        BoxSpec(rootfs=RootFS.system().with_mounts(*mounts)),
        BoxSpec(init=False),
    ):
        first = seen(spec)
        assert "/proc/keys" in first
        for _ in range(3):
            assert seen(spec) == first
        assert copies(spec)


def test_what_a_box_writes_no_other_sees() -> None:
    spec = BoxSpec()
    write = "for at in /tmp /dev /dev/shm; do touch $at/left && ls $at/left; done"
    for _ in range(3):
        assert seen(spec, f"! ls /tmp/left /dev/left /dev/shm/left 2>&1 && {write}")
        for path in ("/", "/etc", "/usr", "/etc/passwd"):
            script = f"touch {path} 2>&1; true"
            assert "Read-only file system" in seen(spec, script)


def test_a_bind_is_taken_anew_for_each_box(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    spec = BoxSpec(rootfs=RootFS.system().with_mounts(Mount.bind(folder, "/data")))
    for content in ("a", "b", "c", "d"):
        folder.mkdir()
        (folder / "file").write_text(content)
        assert seen(spec, "cat /data/file") == content
        folder.rename(tmp_path / content)


def test_mounts_of_the_caller_come_and_go(elsewhere: Namespace, tmp_path: Path) -> None:
    spec = BoxSpec()

    def change() -> list[str]:
        listings = []
        for _ in range(3):
            listings.append(seen(spec, "ls /usr/local"))
        subprocess.run(["mount", "-t", "tmpfs", "none", "/usr/local"], check=True)
        Path("/usr/local/new").touch()
        for _ in range(3):
            listings.append(seen(spec, "ls /usr/local"))
        subprocess.run(["umount", "/usr/local"], check=True)
        listings.append(seen(spec, "ls /usr/local"))
        return listings

    before, changed, after = (slice(0, 3), slice(3, 6), slice(6, 7))
    listings = elsewhere.call(change)
    assert set(listings[changed]) == {"new\n"}
    assert set(listings[before]) == set(listings[after])
    assert "new\n" not in listings[before]


def test_mounts_that_do_not_matter_change_nothing(elsewhere: Namespace, tmp_path: Path) -> None:
    spec = BoxSpec()

    def change() -> tuple[object, object]:
        for _ in range(2):
            nsbox.run(["true"], spec, check=True)
        kept = KEPT.recall(spec, nsbox.options.NO_OPTIONS, None)
        assert kept is not None
        before = kept.quickest
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
        assert seen(spec, "echo ran") == "ran\n"
        return before, kept.quickest

    before, after = elsewhere.call(change)
    assert before is after


def test_every_thread_is_told_of_a_mount_until_one_has_looked(
    elsewhere: Namespace, tmp_path: Path
) -> None:
    spec = BoxSpec()

    def holds(check: Step) -> bool:
        try:
            perform([check])
        except nsbox.StepError as error:
            if error.errno != errno.ESTALE:
                raise
            return False
        return True

    def change() -> None:
        for _ in range(2):
            nsbox.run(["true"], spec, check=True)
        kept = KEPT.recall(spec, nsbox.options.NO_OPTIONS, None)
        assert kept is not None
        held = kept.quickest.held
        assert held is not None
        for _ in range(2):
            assert holds(held.check)
        for where, current in ((tmp_path, True), (tmp_path, True), ("/usr/local", False)):
            subprocess.run(["mount", "-t", "tmpfs", "none", where], check=True)
            with ThreadPoolExecutor(4) as threads:
                assert not any(threads.map(holds, [held.check] * 8))
            assert held.is_current() is current
            assert holds(held.check) is current

    elsewhere.call(change)


def test_a_thread_in_another_mount_namespace_shows_what_is_there(elsewhere: Namespace) -> None:
    spec = BoxSpec()

    def mount() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/usr/local"], check=True)

    elsewhere.call(mount)
    for _ in range(3):
        assert seen(spec, "ls /usr/local") != ""
        assert elsewhere.call(lambda: seen(spec, "ls /usr/local")) == ""


def test_a_box_that_could_change_the_copied_root_makes_its_own() -> None:
    spec = BoxSpec(security=Security.privileged())
    for _ in range(3):
        script = "mount -o remount,rw / && touch /left && ls /left"
        assert seen(spec, f"! ls /left 2>/dev/null && {script}") == "/left\n"
    assert not copies(spec)


def test_a_fork_and_many_threads_have_copies_of_their_own() -> None:
    spec = BoxSpec()
    first = seen(spec)
    seen(spec)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = int([seen(spec) for _ in range(3)] != [first] * 3)
        finally:
            os._exit(status)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(seen(spec))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert found == [first] * 8


def test_what_is_kept_is_let_go_without_a_collection_of_garbage() -> None:
    _native.forget_memory()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(70):  # more specs than are kept
        spec = BoxSpec(hostname=f"box{number}")
        for _ in range(2):
            nsbox.run(["true"], spec, check=True)
    kept = set(os.listdir("/proc/self/fd")) - before
    assert 0 < len(kept) <= 2 * 64
    gc.disable()
    try:
        KEPT.forget()
        _native.forget_memory()
        assert set(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("way", ["run", "pool", "box"])
def test_what_is_remembered_of_a_command_is_not_what_its_list_has_become(way: str) -> None:
    """In a process of its own, for what it is made by must change: here the caller's rights."""
    script = (
        "import os, nsbox\n"
        "spec = nsbox.BoxSpec()\n"
        "pool, box = nsbox.Pool(spec, size=1), spec.start()\n"
        f"run = {{'run': nsbox.run, 'pool': pool.run, 'box': box.run}}[{way!r}]\n"
        "args = ['echo', 'one']\n"
        "for _ in range(4):\n"
        "    pool.fill()\n"
        "    run(args)\n"
        "args[1] = 'two'\n"
        "pool.fill()\n"
        "os.setegid(12345)\n"
        "run(['echo', 'one'])\n"
        "os.setegid(0)\n"
        "pool.close(), box.close()\n"
    )
    assert run_afresh(script) == "one\n" * 5
