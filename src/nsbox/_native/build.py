"""How the C is built: cffi in API mode, out of line, against the limited API.

The first process is a program of its own: compiled first, without libc, and carried inside the
extension as bytes. ``setup.py`` hands both to setuptools.
"""

import importlib.util
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sysconfig

import cffi

HERE = pathlib.Path(__file__).parent
GENERATED = HERE.parents[2] / "build" / "generated"

STEPS = [
    "steps.c", "rootfs.c", "walk.c", "mounts.c", "classic.c", "remount.c", "copy.c",
    "copy_file.c", "identity.c", "process.c", "terminal.c", "park.c", "confine.c", "devices.c",
    "unchanged.c", "joinable.c", "await.c", "beside.c",
]  # fmt: skip
CALLER = [
    "launch.c",
    "maker.c",
    "memory.c",
    "kept.c",
    "release.c",
    "ending.c",
    "host.c",
    "beneath.c",
    "texts.c",
]
FIRST_PROCESS = ["first_process.c", "supervise.c", "tree.c"]
WARNINGS = ["-Wall", "-Wextra", "-Wswitch-enum", "-Wno-unused-parameter"]
FREESTANDING = [
    "-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-s",
    "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-Wl,-z,noexecstack",
]  # fmt: skip
if platform.machine() == "aarch64":  # where atomic operations are else calls into libgcc
    FREESTANDING.append("-mno-outline-atomics")


def generate() -> None:
    """Write the headers that are made from other sources, before setuptools compiles anything."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    spec = importlib.util.spec_from_file_location("operations", HERE / "operations.py")
    assert spec is not None
    assert spec.loader is not None
    operations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(operations)
    (GENERATED / "operations.h").write_text(operations.c_header())

    numbers = "".join(f'    {{"{name}", {number}}},\n' for name, number in system_calls())
    (GENERATED / "syscalls.h").write_text(
        f"static const struct nsbox_syscall syscalls[] = {{\n{numbers}    {{0, 0}},\n}};\n"
    )

    image = compile_first_process().read_bytes()
    rows = (",".join(map(str, image[i : i + 24])) for i in range(0, len(image), 24))
    text = ",\n".join(rows)
    (GENERATED / "first_process.h").write_text(
        f"static const unsigned char first_process_image[] = {{\n{text}\n}};\n"
    )


def compiler() -> list[str]:
    """Return the C compiler's command."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def system_calls() -> list[tuple[str, int]]:
    """Read the names and numbers of this architecture's system calls from the kernel's headers."""
    done = subprocess.run(
        [*compiler(), "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.M)
    return sorted((name, int(number)) for name, number in found if name != "syscalls")


def compile_first_process() -> pathlib.Path:
    """Compile the static program and return its path."""
    program = GENERATED / "nsbox-init"
    sources = [str(HERE / name) for name in [*FIRST_PROCESS, *STEPS]]
    includes = [f"-I{HERE}", f"-I{GENERATED}"]
    more = shlex.split(os.environ.get("NSBOX_INIT_CFLAGS", ""))  # it takes none that need libc
    flags = [*WARNINGS, *FREESTANDING, *more]
    subprocess.run([*compiler(), *flags, *includes, "-o", str(program), *sources], check=True)
    return program


ffibuilder = cffi.FFI()
ffibuilder.cdef((HERE / "shim.h").read_text())
ffibuilder.set_source(
    "nsbox._native._shim",
    '#include "page.h"',
    sources=[os.path.relpath(HERE / name, HERE.parents[2]) for name in [*CALLER, *STEPS]],
    include_dirs=[str(HERE), str(GENERATED)],
    depends=[str(path) for path in [*HERE.glob("*.[ch]"), HERE / "operations.py"]],
    define_macros=[("_GNU_SOURCE", None), ("Py_LIMITED_API", "0x030b0000")],
    extra_compile_args=["-O2", *WARNINGS],
    py_limited_api=True,
)
