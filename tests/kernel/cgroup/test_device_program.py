"""The kernel's verifier takes the program for devices. Loading it is all that is done here."""

import ctypes
import errno
import os
import platform

import pytest

from nsbox import DeviceRule
from nsbox.cgroup.device_program import program

pytestmark = pytest.mark.cgroups

BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE = 5, 15
NUMBERS = {"x86_64": 321, "aarch64": 280}  # of bpf(2)


def load(code: bytes) -> int:
    instructions = ctypes.create_string_buffer(code)
    license_ = ctypes.create_string_buffer(b"MIT")
    attributes = bytearray(128)
    attributes[0:4] = BPF_PROG_TYPE_CGROUP_DEVICE.to_bytes(4, "little")
    attributes[4:8] = (len(code) // 8).to_bytes(4, "little")
    attributes[8:16] = ctypes.addressof(instructions).to_bytes(8, "little")
    attributes[16:24] = ctypes.addressof(license_).to_bytes(8, "little")
    buffer = (ctypes.c_char * 128).from_buffer(attributes)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(NUMBERS[platform.machine()], BPF_PROG_LOAD, buffer, 128)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [DeviceRule("a")],
        [DeviceRule("c", 1, 3), DeviceRule("b", 8, None, "r"), DeviceRule("a", None, 5, "wm")],
        [DeviceRule("c", 1, minor, "rw") for minor in range(100)],
    ],
)
def test_the_verifier_takes_it(rules):
    if platform.machine() not in NUMBERS:
        pytest.skip("needs the number of bpf(2) on this machine")
    try:
        descriptor = load(program(rules))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            pytest.skip(f"needs a caller who may load eBPF programs: {error}")
        raise
    os.close(descriptor)
