"""The part of the build that metadata cannot say: see src/nsbox/_native/build.py."""

import runpy
import sys
import sysconfig
from typing import Any

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit(
        "nsbox is built for the limited API, which cffi does not offer to free-threaded CPython: "
        "use a CPython with a GIL."
    )

BUILD = "src/nsbox/_native/build.py"


class BuildExtension(build_ext):
    """Make the generated headers first."""

    def run(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SystemExit(
                "nsbox needs Linux; on another system a Linux virtual machine such as WSL 2 or "
                "Lima serves."
            )
        runpy.run_path(BUILD)["generate"]()
        super().run()


class Abi3Wheel(bdist_wheel):
    """One wheel for every CPython from 3.11 on."""

    def finalize_options(self) -> None:
        self.py_limited_api: Any = "cp311"
        super().finalize_options()


setup(
    cffi_modules=[f"{BUILD}:ffibuilder"],
    cmdclass={"build_ext": BuildExtension, "bdist_wheel": Abi3Wheel},
)
