"""Trees made to lead mounts astray: whatever happens, nothing outside of the root changes."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox import Mount, RootFS

Shell = Callable[..., nsbox.CompletedProcess]
Look = Callable[[Path], object]


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("link", ["{canary}", "../../../../..{canary}", "/../..{canary}"])
def test_a_link_in_the_tree_leads_no_mount_out_of_it(
    tree: Path, canary: Path, link: str, readonly: bool, sh: Shell
) -> None:
    (tree / "data").symlink_to(link.format(canary=canary))
    for name in ("dev", "proc", "tmp"):
        (tree / name).mkdir()
    rootfs = RootFS.directory(tree, readonly=readonly).with_mounts(
        Mount.tmpfs("/data/below"), Mount.file("/data/file", "hostile")
    )
    # An error is as good as a mount within the tree: the canary decides.
    with contextlib.suppress(OSError, ValueError):
        sh("true", rootfs)
    assert (canary / "file").read_text() == "untouched\n"


@pytest.mark.parametrize("name", ["dev", "proc", "tmp"])
def test_a_standard_folder_that_is_a_link_leads_nothing_out(
    tree: Path, canary: Path, name: str, sh: Shell
) -> None:
    (tree / name).symlink_to(canary)
    for readonly in (True, False):
        try:
            sh("true", RootFS.directory(tree, readonly=readonly))
        except (OSError, ValueError):
            continue


LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2

LINKS = ("{canary}", "../../../../../../..{canary}", "/../..{canary}", "chain1")


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", ["dev", "etc", "proc", "tmp"])
def test_links_of_each_sort_lead_nothing_out(
    tree: Path, canary: Path, sh: Shell, name: str, link: str
) -> None:
    (tree / name).symlink_to(link.format(canary=canary))
    (tree / "chain1").symlink_to("chain2")
    (tree / "chain2").symlink_to(f"/../../{canary}")
    for rootfs in (RootFS.overlay(tree), RootFS.directory(tree)):
        with contextlib.suppress(OSError, ValueError):
            sh("true", rootfs.with_mounts(Mount.file("/etc/motd", "x"), Mount.masked("/etc/file")))


@contextlib.contextmanager
def flipping(place: Path, target: Path) -> Iterator[None]:
    """Exchange a new folder and a link for as long as the block lasts, ten thousand times at least."""
    link = place.with_name(f"{place.name}.link")
    place.mkdir()
    link.symlink_to(target)
    flips, stop = 0, threading.Event()

    def flip() -> None:
        nonlocal flips
        while not stop.is_set() or flips < 10_000:
            swapped = LIBC.renameat2(
                AT_FDCWD, os.fsencode(place), AT_FDCWD, os.fsencode(link), RENAME_EXCHANGE
            )
            assert swapped == 0, os.strerror(ctypes.get_errno())
            flips += 1

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert flips >= 10_000


@pytest.mark.parametrize("name", ["dev", "proc", "tmp"])
def test_a_folder_that_flips_to_a_link_and_back_leads_nothing_out(
    tree: Path, canary: Path, sh: Shell, name: str
) -> None:
    """Ten thousand times, while boxes start in the tree: the canary decides."""
    with flipping(tree / name, canary):
        for _ in range(30):
            with contextlib.suppress(OSError):  # as good an end as a mount within the tree
                sh("true", RootFS.directory(tree))


@pytest.mark.parametrize("target", ["/new", "/data/new"], ids=["beside", "below"])
def test_a_folder_that_flips_to_a_link_shows_nothing_of_the_host_in_a_readonly_root(
    tree: Path, canary: Path, target: str
) -> None:
    """The root is opened up: what was listed in it is mounted a while later."""
    rootfs = RootFS.directory(tree, readonly=True).with_mounts(Mount.tmpfs(target))
    mounted, complaints = 0, []
    with flipping(tree / "data", canary):
        for _ in range(60):
            try:
                with rootfs.mounted() as root:
                    shown = root / "data"
                    mounted += 1
                    assert shown.is_symlink() or "file" not in os.listdir(shown)
            except (OSError, ValueError) as error:
                complaints.append(error)
    assert mounted
    for complaint in complaints:
        named = isinstance(complaint, nsbox.StepError) or target in str(complaint)
        assert named or complaint.filename


def test_proc_is_read_only_where_it_must_be_wherever_its_name_leads(tree: Path, sh: Shell) -> None:
    (tree / "elsewhere").mkdir()
    (tree / "proc").symlink_to("/elsewhere")
    rootfs = RootFS.directory(tree)
    assert sh("/bin/busybox ls /proc/self/fd", rootfs).returncode == 0
    for path in ("/proc", "/elsewhere"):
        done = sh(f"echo 1 > {path}/sys/kernel/panic", rootfs)
        assert "Read-only file system" in done.stderr, done


MASKED_BY = """
import subprocess, sys, nsbox
from nsbox import BoxSpec
subprocess.run(["mount", "-t", "tmpfs", "dev", "/dev"], check=True)
subprocess.run(sys.argv[1:], check=True)
pipes = dict.fromkeys(("stdin", "stdout", "stderr"), nsbox.PIPE)
try:
    nsbox.run(["true"], BoxSpec(), **pipes)
except nsbox.StepError as error:
    print(error.errno, error.step.name)
"""


@pytest.mark.parametrize(
    "made", [["ln", "-s", "/etc/passwd"], ["touch"], ["mknod"]], ids=["link", "file", "device"]
)
def test_a_masking_device_that_is_none_is_refused(
    apart: Callable[..., str], made: list[str]
) -> None:
    """Looked at by its descriptor: what /dev/null was a moment ago does not count."""
    if not (Path("/proc/keys").exists() or Path("/proc/timer_list").exists()):
        pytest.skip("nothing in /proc here is masked by a device")
    numbers = ["c", "1", "5"] if made == ["mknod"] else []
    said = apart(MASKED_BY, *made, "/dev/null", *numbers)
    assert said in ("19 move_mount\n", "19 mount\n")  # the latter on kernels before 5.12


def test_a_box_cannot_change_the_hosts_devices(tree: Path, sh: Shell) -> None:
    names = ("null", "zero", "tty")
    before = [os.stat(f"/dev/{name}").st_ctime_ns for name in names]
    script = "for name in dev/null dev/zero dev/tty proc/keys; do busybox chmod 666 /$name; done"
    sh(script, RootFS.directory(tree))
    assert [os.stat(f"/dev/{name}").st_ctime_ns for name in names] == before


def test_without_pivot_root_there_is_no_way_out_either(
    root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the host's own root is the kernel's initial file system, which stays below."""
    monkeypatch.setattr("nsbox.rootfs.site._pivots", lambda _: False)
    escape = (
        "import os\n"
        "print(sorted(os.listdir('/')))\n"
        "os.mkdir('/tmp/x'); here = os.open('/', os.O_RDONLY); os.chroot('/tmp/x'); os.fchdir(here)\n"
        "for _ in range(64): os.chdir('..')\n"
        "os.chroot('.'); print(sorted(os.listdir('/')))\n"
    )
    spec = nsbox.BoxSpec(hostname="chroot", security=nsbox.Security.privileged())
    assert "chroot" in [step.name for step in spec.plan(["true"])]
    assert "pivot_root" not in [step.name for step in spec.plan(["true"])]
    done = nsbox.run(["/usr/bin/python3", "-c", escape], spec, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    inside, after = done.stdout.splitlines()
    assert inside == after
    assert "usr" in inside
    assert "home" not in inside


@pytest.mark.parametrize("kind", ["directory", "readonly", "overlay", "kept", "empty", "system"])
@pytest.mark.parametrize("staged", [False, True], ids=["plain", "staged"])
def test_the_way_up_ends_at_the_root(
    tree: Path, tmp_path: Path, busybox: str, kind: str, staged: bool
) -> None:
    """Nothing may be left mounted upon the new root: that is where a folder's ".." would lead."""
    rootfs = {
        "directory": RootFS.directory(tree),
        "readonly": RootFS.directory(tree, readonly=True),
        "overlay": RootFS.overlay(tree),
        "kept": RootFS.overlay(tree, upper=tmp_path / "upper"),
        "empty": RootFS.empty().with_mounts(Mount.bind(busybox, "/bin/busybox")),
        "system": RootFS.system().with_mounts(Mount.bind(busybox, "/srv/busybox")),
    }[kind]
    if staged:
        rootfs = rootfs.with_mounts(
            Mount.file("/a/file", "x"),
            Mount.secret("/a/secret", "x"),
            Mount.overlay("/b", tmp_path),
        )
    program = "/srv/busybox" if kind == "system" else "/bin/busybox"
    script = (
        f"B={program}; $B ls -a / ; for up in /tmp/.. /dev/pts/../.. /../../.. ; do echo; $B ls -a $up; done;"
        "echo; $B awk '{ print $5 }' /proc/self/mountinfo"
    )
    done = nsbox.run(
        [program, "sh", "-c", script], nsbox.BoxSpec(rootfs=rootfs), capture_output=True, text=True
    )
    root, *ups, mounts = done.stdout.split("\n\n")
    assert [up.strip() for up in ups] == [root.strip()] * 3, done
    assert "home" not in root.split()
    assert mounts.split().count("/") == 1
    with rootfs.mounted() as mounted:
        folder = next(entry for entry in mounted.iterdir() if not entry.is_symlink())
        above = os.stat(folder / "..")
        assert (above.st_dev, above.st_ino) == (os.stat(mounted).st_dev, os.stat(mounted).st_ino)
