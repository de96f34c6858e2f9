"""Roots by mount(2), where the younger calls are missing: nothing differs but the plan.

A child of its own takes the calls from itself by a seccomp filter, as old container engines do.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MOUNT_CALLS = ("fsopen", "fsconfig", "fsmount", "open_tree", "move_mount", "mount_setattr")

WITHOUT = """\
import ctypes, json, os, shutil, sys
from nsbox.security.seccomp import Rule, Seccomp

def without(calls, answer):
    raw = Seccomp([Rule(calls, answer)], "allow").program()
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    given = Program(len(raw) // 8, raw)
    assert libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0  # PR_SET_SECCOMP

calls, answer, *arguments = json.loads(sys.argv[1])
if calls:
    without(calls, answer)
import nsbox
from nsbox import BoxSpec, Choice, Mount, NamespaceType, RootFS

def sh(script, rootfs, **spec):
    command = ["/bin/busybox", "sh", "-c", script]
    done = nsbox.run(command, BoxSpec(rootfs=rootfs, **spec), capture_output=True, text=True)
    return done.stdout + done.stderr
"""

Lacking = Callable[..., str]


@pytest.fixture(
    params=[
        (MOUNT_CALLS, errno.ENOSYS),
        ((*MOUNT_CALLS, "openat2"), errno.ENOSYS),
        ((*MOUNT_CALLS, "openat2"), errno.EPERM),
        (("mount_setattr",), errno.ENOSYS),
    ],
    ids=["mount calls", "openat2 too", "refused", "mount_setattr"],
)
def lacking(request: pytest.FixtureRequest) -> Lacking:
    """Run a program where calls are missing; `whole` runs it where none is."""
    calls, answer = request.param

    def run(program: str, *arguments: object, whole: bool = False, apart: bool = False) -> str:
        given = [[] if whole else calls, answer, *map(str, arguments)]
        unshare = ["unshare", "--mount", "--propagation", "private"] if apart else []
        done = subprocess.run(
            [*unshare, sys.executable, "-c", WITHOUT + program, json.dumps(given)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


ROOTS = """
LOOK = '''cut -d" " -f5- /proc/self/mountinfo | sed "s/ - \\([a-z0-9]*\\) .*/ \\1/"
cd /; only() { busybox find . "(" -path "./proc/*" -o -path "./usr/*" -o -path "./sys/*" -o -path "./cg/*" ")" -prune -o "$@"; }
only -exec busybox stat -c "%n %A %u" {} +
for file in /x /tmp/x /proc/sys/kernel/hostname /data/x /data/sub/x /dev/null /laid/x; do
  (echo x > $file) 2>/dev/null && echo "wrote $file"; done
cat /motd /secret; wc -c < /dev/null; ls /proc/acpi /run; true'''
tree, data, work = arguments
shutil.copytree(tree, work)  # for in one that can be written to the mount points stay
tree = work
rooms = (
    Mount.bind(data, "/data", readonly=True), Mount.file("/motd", "hello"),
    Mount.secret("/secret", b"s"), Mount.bind(data + "/file", "/run/file", noexec=True),
)
users = nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
readonly = RootFS.directory(tree, readonly=True)
programs = Mount.bind(tree + "/bin", "/bin")
kinds = (
    Mount.proc(subset="pid"), Mount.sysfs("/sys"), Mount.cgroup("/cg"), Mount.mqueue("/mq"),
    Mount.devpts("/pts"), Mount.symlink("/to", "/srv"), Mount.overlay("/laid", data),
    Mount.masked("/srv"), Mount.readonly_path("/bin"), Mount.tmpfs("/etc", copy_up=True),
)
roots = {
    "system": RootFS.system(),
    "directory": RootFS.directory(tree),
    "readonly": readonly,
    "overlay": RootFS.overlay(tree, data),
    "kept": RootFS.overlay(tree, upper=work + "-upper"),
    "empty": RootFS.empty().with_mounts(programs, Mount.tmpfs("/run", size="1M")),
    "kinds": RootFS.directory(tree).with_mounts(*kinds),
}
found = {name: sh(LOOK, rootfs.with_mounts(*rooms)) for name, rootfs in roots.items()}
for name in ("system", "readonly", "overlay", "kinds"):
    found[f"{name}, users"] = sh(LOOK, roots[name].with_mounts(*rooms), namespaces=users)
print(json.dumps(found))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data/sub").mkdir(parents=True)
    (tmp_path / "data/file").write_text("x")
    return tmp_path / "data"


def test_each_root_is_the_same(lacking: Lacking, tree: Path, data: Path) -> None:
    expected = json.loads(lacking(ROOTS, tree, data, f"{tree}1", whole=True))
    found = json.loads(lacking(ROOTS, tree, data, f"{tree}2"))
    for name, text in expected.items():
        assert "hello" in text
        assert found[name] == text, name


def test_the_plan_shows_it(lacking: Lacking) -> None:
    names = set(lacking("for step in BoxSpec().plan(['true']): print(step.name)").split())
    assert "mount" in names
    assert not names & set(MOUNT_CALLS)


def test_what_only_the_younger_calls_can_do_is_refused_with_the_reason(
    lacking: Lacking, data: Path
) -> None:
    program = """
for rootfs in (
    RootFS.system().with_mounts(Mount.bind(arguments[0], "/data", idmap=nsbox.IDMap.ranges([(0, 1000, 1)], [(0, 1000, 1)]))),
    RootFS.system().with_mounts(Mount.bind(arguments[0], "/data", propagation="slave")),
):
    try: BoxSpec(rootfs=rootfs).plan(["true"])
    except nsbox.UnsupportedError as error: print(error)
try:
    with RootFS.system().mounted(arguments[0]): pass
except nsbox.UnsupportedError as error: print(error)
"""
    lines = lacking(program, data).splitlines()
    assert [line.split(":")[0] for line in lines] == ["idmap", "propagation", "path"]
    if os.geteuid() == 0:
        assert all("Linux 5.12" in line for line in lines)


BELOW = """
import subprocess
tree, data, covered = arguments
for name in ("one", "one/two words", "one/two words/back\\\\slash"):
    os.makedirs(f"{data}/{name}", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nodev", "none", f"{data}/{name}"], check=True)
if covered == "True":
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{data}/one/two words"], check=True)
rootfs = RootFS.directory(tree).with_mounts(Mount.bind(data, "/data", readonly=True))
script = '''busybox find /data -type d | while read -r folder; do
  (echo x > "$folder/x") 2>/dev/null && echo "wrote $folder"; done; busybox grep -c /data /proc/self/mountinfo'''
try: print(sh(script, rootfs))
except nsbox.StepError as error: print(error.errno, error.hint)
"""


def test_read_only_holds_all_the_way_down(
    lacking: Lacking, root: None, tree: Path, data: Path
) -> None:
    found = lacking(BELOW, tree, data, False, apart=True)
    assert found.strip() == "4"


def test_a_mount_covered_by_another_is_refused(
    lacking: Lacking, root: None, tree: Path, data: Path
) -> None:
    found = lacking(BELOW, tree, data, True, apart=True)
    assert found.startswith(f"{errno.EBUSY} hint: ")


def test_a_missing_source_is_named(lacking: Lacking, tmp_path: Path) -> None:
    program = """
try: sh("true", RootFS.system().with_mounts(Mount.bind(arguments[0], "/data")))
except nsbox.StepError as error: print(error.errno, error.filename)
"""
    found: Any = lacking(program, tmp_path / "missing").split()
    assert found == [str(errno.ENOENT), str(tmp_path / "missing")]
