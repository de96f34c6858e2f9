"""Every flag has the value that the kernel's headers give it."""

import enum
import inspect
import shutil
import subprocess

import pytest

from nsbox import constants

HEADERS = {
    "AT_FDCWD": "fcntl.h",
    "CloneFlag": "linux/sched.h",
    "LandlockAccess": "linux/landlock.h",
    "LandlockScope": "linux/landlock.h",
    "NamespaceRequest": "linux/nsfs.h",
    "MountAttribute": "linux/mount.h",
    "Propagation": "linux/mount.h",
    "ConfigCommand": "linux/mount.h",
    "UnmountFlag": "sys/mount.h",
    "CloseRangeFlag": "linux/close_range.h",
    "Capability": "linux/capability.h",
    "OPEN_TREE_CLONE": "linux/mount.h",
    "AT_EMPTY_PATH": "fcntl.h",
    "AT_RECURSIVE": "linux/fcntl.h",
}
"""The header of each class of constants, or of one constant."""

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

CLASSES = [
    value
    for _, value in inspect.getmembers(constants, inspect.isclass)
    if issubclass(value, enum.IntEnum | enum.IntFlag) and value.__module__ == constants.__name__
]
NUMBERS = {
    name: value
    for name, value in vars(constants).items()
    if isinstance(value, int) and not name.startswith("_")
}
CONSTANTS = [
    *(("", name, value) for name, value in NUMBERS.items()),
    *(
        (kind.__name__, name, member)
        for kind in CLASSES
        for name, member in kind.__members__.items()
    ),
]


def accepted(header, line):
    """Compile one line of C below a header, and tell whether the compiler takes it."""
    assert COMPILER is not None
    done = subprocess.run(
        [COMPILER, "-x", "c", "-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-"],
        input=f"#include <{header}>\n{line}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0


def test_there_are_constants_to_compare():
    assert len(CONSTANTS) > 60
    assert {"CLONE_NEWUSER", "MNT_DETACH", "AT_FDCWD"} <= {name for _, name, _ in CONSTANTS}


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: cc, gcc or clang")
@pytest.mark.parametrize(("kind", "name", "value"), CONSTANTS, ids=str)
def test_a_constant_is_the_kernels(kind, name, value):
    header = HEADERS.get(name) or HEADERS[kind]
    if not accepted(header, f"enum {{ known = sizeof({name}) }};"):
        pytest.skip(f"<{header}> of this system has no {name}")
    number = f"(1ULL << {name})" if kind == "Capability" else f"(long long)({name})"
    assert accepted(header, f'_Static_assert({number} == {int(value)}, "");')


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: cc, gcc or clang")
def test_no_capability_of_the_kernel_is_left_out():
    if not accepted("linux/capability.h", "enum { known = CAP_CHECKPOINT_RESTORE };"):
        pytest.skip("<linux/capability.h> of this system is older than 5.9")
    last = max(member.bit_length() - 1 for member in constants.Capability)
    assert accepted("linux/capability.h", f'_Static_assert(CAP_LAST_CAP <= {last}, "");')


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: cc, gcc or clang")
def test_the_comparison_notices_a_wrong_value():
    assert accepted("linux/sched.h", '_Static_assert(CLONE_NEWUSER == 0x10000000, "");')
    assert not accepted("linux/sched.h", '_Static_assert(CLONE_NEWUSER == 0x10000001, "");')
