"""Files of a box from outside: no link leads out, and what is made is the box's root's."""

import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

import nsbox
from nsbox import Box, BoxPath, BoxSpec, Choice, IDMap, NamespaceType

OWN_USER = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mapping such ids needs root")
SPECS = [
    pytest.param(BoxSpec(), id="plain"),
    pytest.param(BoxSpec(namespaces=OWN_USER), id="user"),
    pytest.param(BoxSpec(namespaces=OWN_USER, id_map=IDMap.same()), id="same"),
    pytest.param(
        BoxSpec(namespaces=OWN_USER, id_map=IDMap.ranges([(0, 100000, 65536)])),
        id="ranges",
        marks=needs_root,
    ),
]


@pytest.fixture(params=SPECS)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    with request.param.start() as started:
        yield started


@pytest.fixture
def tmp(box: Box) -> BoxPath:
    return box.root / "tmp"


def sh(box: Box, script: str) -> str:
    done = box.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_it_reads_and_writes_as_pathlib_does(box: Box, tmp: BoxPath) -> None:
    path = tmp / "file"
    assert not path.exists()
    assert path.write_text("text\n") == 5
    assert sh(box, "cat /tmp/file") == "text\n"
    sh(box, "echo more >> /tmp/file")
    assert path.read_text() == "text\nmore\n"
    assert path.write_bytes(b"\xff\0") == 2
    assert path.read_bytes() == b"\xff\0"
    with path.open("a", encoding="utf-8") as file:
        file.write("é")
    assert path.stat().st_size == 4
    with pytest.raises(FileExistsError):
        path.open("x")
    with pytest.raises(IsADirectoryError):
        tmp.read_bytes()
    path.unlink()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.read_text()


def test_folders_and_links(box: Box, tmp: BoxPath) -> None:
    (tmp / "a/b").mkdir(parents=True)
    (tmp / "a/b").mkdir(exist_ok=True)
    with pytest.raises(FileExistsError):
        (tmp / "a/b").mkdir()
    (tmp / "a/b/file").write_text("here")
    (tmp / "link").symlink_to("/tmp/a/b")
    assert (tmp / "link/file").read_text() == "here"
    assert (tmp / "link").readlink() == PurePosixPath("/tmp/a/b")
    assert ((tmp / "link").is_symlink(), (tmp / "link").is_dir()) == (True, True)
    assert sorted(path.name for path in tmp.iterdir()) == ["a", "link"]
    assert (tmp / "a/b/file").is_file()
    (tmp / "a/b/file").chmod(0o640)
    assert sh(box, "stat -c '%a %F' /tmp/a/b/file").startswith("640 ")
    with pytest.raises(OSError, match="not empty"):
        (tmp / "a").rmdir()
    (tmp / "a/b/file").unlink()
    (tmp / "a/b").rmdir()
    assert (tmp / "link").lstat().st_mode != 0
    assert not (tmp / "link").exists()


def test_errors_are_those_of_pathlib_and_name_the_path(
    box: Box, tmp: BoxPath, tmp_path: Path
) -> None:
    for here in (tmp, tmp_path):
        (here / "folder/full").mkdir(parents=True)
        (here / "file").write_text("")
    for name, call in [
        ("file", "readlink"),
        ("folder", "readlink"),
        ("no/such", "readlink"),
        ("no/such", "unlink"),
        ("folder/none", "unlink"),
        ("folder", "unlink"),
        ("no/such", "rmdir"),
        ("folder", "rmdir"),
        ("file", "rmdir"),
        ("folder/full", "mkdir"),
        ("no/such", "mkdir"),
    ]:
        said = []
        for here in (tmp, tmp_path):
            with pytest.raises(OSError, match=name) as caught:
                getattr(here / name, call)()
            said.append((type(caught.value), caught.value.errno, caught.value.filename))
        assert said[0] == (*said[1][:2], f"/tmp/{name}"), call
        assert said[1][2] == str(tmp_path / name)


def test_what_is_made_belongs_to_the_boxs_root(box: Box, tmp: BoxPath) -> None:
    (tmp / "file").write_text("")
    (tmp / "folder").mkdir()
    (tmp / "link").symlink_to("file")
    box.copy_in(__file__, "/tmp/copy")
    owner = sh(box, "id -u; id -g").split()
    for name in ("file", "folder", "link", "copy"):
        assert sh(box, f"stat -c '%u %g' /tmp/{name}").split() == owner, name
    sh(box, "echo x > /tmp/file; rmdir /tmp/folder; rm /tmp/link /tmp/copy")


def test_the_caller_is_who_it_was(tmp: BoxPath) -> None:
    """Files are made under other ids, for a moment and by this thread alone."""
    status = Path("/proc/thread-self/status")
    fields = ("Uid", "Gid", "CapEff", "CapPrm", "CapInh", "CapAmb")

    def ids() -> list[str]:
        return [line for line in status.read_text().splitlines() if line.split(":")[0] in fields]

    before = ids(), os.stat("/proc/self/status").st_uid
    for number in range(20):
        (tmp / f"folder{number}").mkdir()
        (tmp / f"folder{number}/file").write_text("")
    assert (ids(), os.stat("/proc/self/status").st_uid) == before


@pytest.mark.parametrize(
    "target",
    ["/etc/shadow", "../../../../../../etc/shadow", "/proc/self/root/etc/shadow",
     "/proc/1/root/etc/shadow", "/proc/1/cwd/../../etc/shadow"],
)  # fmt: skip
def test_no_link_leads_out(box: Box, tmp: BoxPath, target: str) -> None:
    sh(box, f"ln -s {target} /tmp/link; ln -s {os.path.dirname(target)} /tmp/folder")
    for path in (tmp / "link", tmp / "folder/shadow", box.root / target.lstrip("/")):
        with pytest.raises(OSError, match=r"[Nn]o such|levels of symbolic|denied|Operation not"):
            path.read_bytes()


def test_what_would_keep_the_caller_waiting_is_refused(box: Box, tmp: BoxPath) -> None:
    sh(box, "mkfifo /tmp/fifo; ln -s /dev/zero /tmp/zero; ln -s /dev/tty /tmp/tty")
    for name in ("fifo", "zero", "tty"):
        for mode in ("rb", "wb", "r+b"):
            with pytest.raises(OSError, match=r"neither|No such device"):
                (tmp / name).open(mode)
    assert stat.S_ISFIFO((tmp / "fifo").stat().st_mode)


def test_links_that_flip_meanwhile_never_lead_out(box: Box, tmp: BoxPath, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("host")
    (tmp / "real").mkdir()
    (tmp / "real/file").write_text("box")
    flip = (
        f"while :; do mv /tmp/real /tmp/flip 2>/dev/null; mv /tmp/flip /tmp/real; "
        f"ln -s {canary} /tmp/flip; rm /tmp/flip; ln -s / /tmp/flip; rm /tmp/flip; done"
    )
    seen = set()
    with box.popen(["sh", "-c", flip], stderr=nsbox.DEVNULL):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline or "box" not in seen:
            for path in (tmp / "flip/file", tmp / "flip" / ".." / "real/file"):
                try:
                    seen.add(path.read_text())
                except OSError as error:
                    seen.add(type(error).__name__)
            try:
                (tmp / "flip/made").write_text("x")
                (tmp / "flip/made").unlink()
            except OSError as error:
                seen.add(type(error).__name__)
    assert "host" not in seen
    assert "box" in seen
    assert [path.name for path in canary.iterdir()] == ["file"]
    assert not Path("/made").exists()


def make_tree(folder: Path) -> None:
    (folder / "sub/deeper").mkdir(parents=True)
    (folder / "sub/file").write_bytes(b"content" * 1000)
    (folder / "sub/deeper/tool").write_text("#!/bin/sh\n")
    (folder / "sub/deeper/tool").chmod(0o4755)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "sub").chmod(0o750)
    os.utime(folder / "sub/file", ns=(1_000_000_001, 2_000_000_002))
    os.utime(folder / "sub", ns=(3_000_000_003, 4_000_000_004))


def described(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else b""
        mtime = 0 if path.name in ("link", "deeper", "tool") else status.st_mtime_ns
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (status.st_mode & ~0o4000, mtime, content)
    return found


def test_a_tree_goes_in_and_comes_out_as_it_was(box: Box, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    box.copy_in(tmp_path / "tree", "/tmp/tree")
    assert sh(box, "stat -c %a /tmp/tree/sub /tmp/tree/sub/deeper/tool").split() == ["750", "755"]
    box.copy_out("/tmp/tree", tmp_path / "back")
    assert described(tmp_path / "back") == described(tmp_path / "tree")
    assert (tmp_path / "back/sub/file").stat().st_uid == os.geteuid()
    box.copy_in(tmp_path / "tree", "/tmp/tree")  # over what is there
    box.copy_in(tmp_path / "tree/sub/file", "/tmp")
    assert sh(box, "wc -c < /tmp/file").strip() == "7000"


def test_a_copy_out_follows_no_link_of_the_box(box: Box, tmp_path: Path) -> None:
    sh(
        box,
        "mkdir /tmp/tree; ln -s /etc /tmp/tree/a; ln -s ../../../../../../etc/shadow /tmp/tree/b",
    )
    box.copy_out("/tmp/tree", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b"]
    assert all(path.is_symlink() for path in (tmp_path / "out").iterdir())
    canary = tmp_path / "canary"
    canary.mkdir()
    (tmp_path / "into").mkdir()
    (tmp_path / "into/a").symlink_to(canary)
    sh(box, "rm -r /tmp/tree; mkdir -p /tmp/tree/a; echo x > /tmp/tree/a/file")
    with pytest.raises(shutil.Error):
        box.copy_out("/tmp/tree", tmp_path / "into")
    assert list(canary.iterdir()) == []


def test_what_cannot_be_copied_is_told_and_the_rest_is(box: Box, tmp_path: Path) -> None:
    sh(box, "mkdir /tmp/tree; mkfifo /tmp/tree/fifo; echo x > /tmp/tree/file")
    with pytest.raises(shutil.Error) as caught:
        box.copy_out("/tmp/tree", tmp_path / "out")
    assert [Path(source).name for source, _, _ in caught.value.args[0]] == ["fifo"]
    assert (tmp_path / "out/file").read_text() == "x\n"


def test_a_copy_out_can_be_bounded(box: Box, tmp_path: Path) -> None:
    sh(box, "truncate -s 1T /tmp/huge 2>/dev/null || truncate -s 1G /tmp/huge")
    with pytest.raises(OSError, match="max_bytes"):
        box.copy_out("/tmp/huge", tmp_path / "huge", max_bytes=1 << 20)
    sh(box, "rm /tmp/huge; mkdir /tmp/deep; cd /tmp/deep; "
       "for i in $(seq 300); do mkdir d; cd d; done")  # fmt: skip
    with pytest.raises(shutil.Error, match="folders deep"):
        box.copy_out("/tmp/deep", tmp_path / "deep")


def test_threads_share_a_root(box: Box, tmp: BoxPath) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            (tmp / f"file{number}").write_text(str(number))
            assert (tmp / f"file{number}").read_text() == str(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp.iterdir())) == 5


def test_after_the_end_there_is_no_root() -> None:
    box, never_asked = BoxSpec().start(), BoxSpec().start()
    path = box.root / "tmp"
    for one in (box, never_asked):
        one.kill()
        one.wait(timeout=60)
    assert path.exists()  # what is held open is still there
    with pytest.raises(ProcessLookupError):
        never_asked.root  # noqa: B018
    for one in (box, never_asked):
        one.close()
    with pytest.raises(ValueError, match="closed"):
        path.exists()
