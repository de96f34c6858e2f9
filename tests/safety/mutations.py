"""Take out one rule after the other, and show that its tests fail: `python mutations.py [WORD ...]`.

Works on a copy of the sources, built in a temporary folder by setuptools (77 or later), and takes a
few minutes. Run it as root.
A word chooses the mutations whose names it is in. The exit code is 1 where a rule is missed by none.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).parents[2]
KERNEL, SAFETY = "tests/kernel", "tests/safety"
SOURCES = "src/nsbox"


class Mutation(NamedTuple):
    """A rule, what is replaced where (file, old, new), and what must fail then."""

    rule: str
    patches: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


BY_NAME = ("_native/walk.c", "RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS", "0")

MUTATIONS = (
    Mutation(
        "not dumpable before it enters",
        (("sequence.py", "    yield Step(Operation.NOT_DUMPABLE)  # before it is where", "    # it is where"),),
        (f"{KERNEL}/test_hostile_box.py::test_what_joins_a_box_cannot_be_reached_before_its_exec",),
    ),
    Mutation(
        "the first process's image is sealed",
        (("_native/host.c", " | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE", ""),),
        (f"{SAFETY}/test_programs_of_the_host.py",),
    ),
    Mutation(
        "after joining, /proc is the caller's",
        (("_native/supervise.c", ".proc = is_first() ? -1 : page->proc,", ".proc = is_first() ? -1 : open_own_proc(),"),),
        (f"{SAFETY}/test_faked_proc.py",),
    ),
    Mutation(
        "a path is not looked up twice, and not out of the root",
        (BY_NAME,),
        (f"{SAFETY}/test_swapped_paths.py",),
    ),
    Mutation(
        "mount points are made beneath the root",
        (BY_NAME,),
        (f"{KERNEL}/rootfs/test_hostile_roots.py::test_a_link_in_the_tree_leads_no_mount_out_of_it",),
    ),
    Mutation(
        "what was found in a folder of the host is taken beneath its descriptor",
        (("rootfs/tree.py", "        if not bind.beneath:\n            yield clone_tree(bind.source, recursive=True)", "        if bind:\n            yield clone_tree(bind.path, recursive=True)"),),
        (f"{KERNEL}/rootfs/test_hostile_roots.py::test_a_folder_that_flips_to_a_link_shows_nothing_of_the_host_in_a_readonly_root",),
    ),
    Mutation(
        "work on /dev by its descriptor",
        (
            BY_NAME,
            ("rootfs/dev.py", "    yield attach(Slot.MOUNT, mount.target)\n    for name in DEVICES", "    for name in DEVICES"),
            ("rootfs/dev.py", "(link, Slot.MOUNT, name)", "(link, Slot.ROOT, f'dev/{name}')"),
        ),
        (f"{KERNEL}/rootfs/test_hostile_roots.py::test_links_of_each_sort_lead_nothing_out",),
    ),
    Mutation(
        "a device's number is looked at",
        (("_native/rootfs.c", "if (result == 0 && ((found.stx_mode", "if (0 && ((found.stx_mode"),),
        (f"{KERNEL}/rootfs/test_hostile_roots.py::test_a_masking_device_that_is_none_is_refused",),
    ),
    Mutation(
        "the multiplexer is no link",
        (("_native/terminal.c", ".resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS", ".resolve = 0"),),
        (f"{SAFETY}/test_terminals.py::test_a_terminal_that_was_replaced_is_refused",),
    ),
    Mutation(
        "the working folder is looked at after it was entered",
        (("_native/rootfs.c", "return here[0] == '/' ? 0 : -2;", "return 0;"),),
        (f"{SAFETY}/test_working_folder.py",),
    ),
    Mutation(
        "other descriptors are closed",
        (
            ("_native/process.c", "return SYS(__NR_close_range, count, ~0U, 0);", "return 0;"),
            ("_native/process.c", "page->highest_descriptor + 1, ~0U", "0x7ffffffe, ~0U"),
            ("options.py", "yield Step(Operation.CLOSE_RANGE, (Slot.PAGE, CloseRangeFlag.CLOSE_RANGE_CLOEXEC))", "yield from ()"),
        ),
        (f"{SAFETY}/test_working_folder.py", f"{KERNEL}/test_isolation.py"),
    ),
    Mutation(
        "the inheritable and ambient sets are empty",
        (
            ("_native/identity.c", "        sets.data[half].inheritable = 0;\n", ""),
            ("_native/identity.c", "result = SYS(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);", ""),
        ),
        (f"{SAFETY}/test_capability_sets.py",),
    ),
    Mutation(
        "ids are whole numbers in range",
        (("options.py", "(type(value) is not int or not 0 <= value <= MAX_ID)", "not isinstance(value, (int, float))"),),
        (f"{SAFETY}/test_numbers.py",),
    ),
    Mutation(
        "ids in a document are whole numbers",
        (("oci/document.py", " and (kind is bool or not isinstance(value, bool))", ""),),
        (f"{SAFETY}/test_numbers.py",),
    ),
    Mutation(
        "names have a bounded form",
        (("network/names.py", "if name is None or not _NAME.fullmatch(name):", "if name is None:"),),
        (f"{SAFETY}/test_numbers.py",),
    ),
    Mutation(
        "cgroup trees are read only",
        (("rootfs/cgroup_trees.py", "NOSUID | NODEV | NOEXEC | RDONLY\n", "NOSUID | NODEV | NOEXEC\n"),),
        (f"{SAFETY}/test_control_groups.py",),
    ),
    Mutation(
        "no user namespace by the filter",
        (("security/profiles.py", "uname unlink unlinkat", "uname unlink unlinkat unshare mount"),),
        (f"{SAFETY}/test_control_groups.py",),
    ),
    Mutation(
        "no CAP_SYS_ADMIN",
        (("security/capabilities.py", "    Capability.CAP_CHOWN\n", "    Capability.CAP_CHOWN | Capability.CAP_SYS_ADMIN\n"),),
        (f"{SAFETY}/test_control_groups.py",),
    ),
    Mutation(
        "a session of its own",
        (("sequence.py", "yield Step(Operation.SETSID)", "yield from ()"),),
        (f"{SAFETY}/test_terminals.py::test_a_box_types_nothing_into_the_callers_terminal",),
    ),
    Mutation(
        "no folder at a name that can be guessed",
        (("leftovers.py", 'tempfile.mkdtemp(prefix=prefix)', 'next(iter([p for p in [tempfile.gettempdir() + "/" + prefix + next(tempfile._get_candidate_names())] if os.makedirs(p, exist_ok=True) or p]))'),),
        (f"{SAFETY}/test_helpers.py",),
    ),
    Mutation(
        "no work folder that is there already",
        (("rootfs/overlay.py", "    yield Step(Operation.MKDIR, (work, 0o700))", "    yield point(Slot.UPPER, os.path.basename(work), folder=True)"),),
        (f"{KERNEL}/rootfs/test_overlay.py::test_a_work_folder_that_is_there_already_is_not_used",),
    ),
    Mutation(
        "a work folder is removed by no link",
        (("rootfs/overlay.py", "os.O_DIRECTORY | os.O_NOFOLLOW", "os.O_DIRECTORY"),),
        (f"{KERNEL}/rootfs/test_overlay.py::test_a_work_folder_that_others_have_forged_leads_to_nothing",),
    ),
    Mutation(
        "of another's work folder nothing is removed",
        (("rootfs/overlay.py", "os.fstat(fd).st_uid == os.geteuid()", "True"),),
        (f"{KERNEL}/rootfs/test_overlay.py::test_a_work_folder_that_others_have_forged_leads_to_nothing",),
    ),
    Mutation(
        "nothing sets ids",
        (("sequence.py", "chmod", "u+s"),),
        (f"{SAFETY}/test_helpers.py",),
    ),
    Mutation(
        "no mount is retried by its name",
        (("_native/mounts.c",
          "        return SYS(__NR_move_mount, tree, \"\", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);",
          "    {\n        long r = SYS(__NR_move_mount, tree, \"\", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);\n"
          "        return r < 0 ? SYS(__NR_mount, \"none\", path, \"tmpfs\", 0, 0) : r;\n    }"),),
        (f"{KERNEL}/test_refused_calls.py",),
    ),
    Mutation(
        "the thread's own namespaces",
        (("namespace/handle.py", "cls._looked_at(type, f\"/proc/thread-self/ns/{type.proc_name}\")", "cls._looked_at(type, f\"/proc/self/ns/{type.proc_name}\")"),),
        (f"{KERNEL}/test_namespaces.py::test_the_current_namespace_is_the_threads_and_not_the_first_threads",),
    ),
    Mutation(
        "layers are unpacked beneath a descriptor",
        (("image/beneath.py", "os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC", "os.O_DIRECTORY | os.O_CLOEXEC"),),
        (f"{KERNEL}/test_hostile_images.py::test_it_stays_within_the_root",),
    ),
    Mutation(
        "limits on an image's entries",
        (("image/extract.py", "if self._entries > self._limits.entries:", "if False:"),),
        (f"{KERNEL}/test_hostile_images.py::test_a_bomb_stops_at_the_limits",),
    ),
)  # fmt: skip


def build(copy: pathlib.Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def failing(copy: pathlib.Path, tests: tuple[str, ...]) -> list[str]:
    """Run tests against the copy; returns those that failed, by their names."""
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", "--tb=no"]
    done = subprocess.run(
        [*command, *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [line.split("::", 1)[-1] for line in lines]


def missed(copy: pathlib.Path, mutation: Mutation) -> bool:
    """Try one mutation; returns whether no test has noticed."""
    before = {}
    for name, old, new in mutation.patches:
        path = copy / SOURCES / name
        before.setdefault(path, (path.read_text(), path.stat().st_mode))
        text = path.read_text()
        if old == "chmod":
            path.chmod(0o4755)
        elif old not in text:
            raise SystemExit(f"{mutation.rule}: {name} has no {old!r}")
        else:
            path.write_text(text.replace(old, new))
    compiled = any(path.suffix == ".c" for path in before)
    try:
        if compiled:
            build(copy)
        began = time.monotonic()
        found = failing(copy, mutation.tests)
        print(
            f"{mutation.rule}: {', '.join(found) or 'MISSED'}  [{time.monotonic() - began:.0f} s]",
            flush=True,
        )
        return not found
    finally:
        for path, (text, mode) in before.items():
            path.write_text(text)
            path.chmod(mode)
        if compiled:
            build(copy)


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.rule for word in words)]
    with tempfile.TemporaryDirectory(prefix="nsbox-mutations-") as folder:
        copy = pathlib.Path(folder)
        for name in ("src", "tests", "docs"):
            shutil.copytree(REPOSITORY / name, copy / name)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPOSITORY / name, copy / name)
        build(copy)
        unmutated = sorted({test for mutation in chosen for test in mutation.tests})
        if broken := failing(copy, tuple(unmutated)):
            raise SystemExit(f"failing already: {broken}")
        missing = [mutation.rule for mutation in chosen if missed(copy, mutation)]
    print("missed:", ", ".join(missing) or "none")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
