"""Compile the C with clang, every warning that helps an error; nothing is linked or kept."""

import pathlib
import runpy
import subprocess
import sys

NATIVE = pathlib.Path("src/nsbox/_native")
build = runpy.run_path(str(NATIVE / "build.py"))
build["generate"]()
flags = [
    "-Weverything", "-Werror", "-fsyntax-only", "-std=gnu17", "-D_GNU_SOURCE",
    "-Wno-declaration-after-statement",   # the style here
    "-Wno-padded",
    "-Wno-disabled-macro-expansion",      # of libc's headers
    "-Wno-unused-parameter",
    "-Wno-reserved-identifier", "-Wno-reserved-macro-identifier",
    "-Wno-cast-align", "-Wno-cast-qual", "-Wno-gnu-statement-expression",
    "-Wno-sign-conversion", "-Wno-shorten-64-to-32", "-Wno-int-to-pointer-cast",
    "-Wno-gnu-zero-variadic-macro-arguments", "-Wno-covered-switch-default",
    "-Wno-unsafe-buffer-usage", "-Wno-unknown-warning-option",
    f"-I{NATIVE}", f"-I{build['GENERATED']}",
]  # fmt: skip
for names, mode in (
    (build["CALLER"] + build["STEPS"], []),
    (build["FIRST_PROCESS"] + build["STEPS"], ["-ffreestanding"]),
):
    sources = [str(NATIVE / name) for name in names]
    print("clang", *mode, *names)
    if subprocess.run(["clang", *flags, *mode, *sources], check=False).returncode:
        sys.exit("clang has something to say")
