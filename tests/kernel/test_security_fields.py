"""Fields of `Security` beside capabilities and filters of rules: keys, programs, labels."""

import errno
import struct
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import nsbox
from nsbox import BoxSpec, FilterProgram, Seccomp, Security, _native

KEYS = r"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
number = int(sys.argv[1])
session, wanted = -3, ctypes.create_string_buffer(b"user")
found = libc.syscall(number, 10, session, wanted, b"nsbox-secret", 0)  # KEYCTL_SEARCH
made = libc.syscall(number, 0, session, 0)  # KEYCTL_GET_KEYRING_ID
print(found > 0, made)
"""

HOLDER = r"""
import ctypes, sys, nsbox, json
from nsbox import BoxSpec, Security, _native
libc = ctypes.CDLL(None, use_errno=True)
numbers = _native.syscalls()
libc.syscall(numbers["keyctl"], 1, 0)  # a session keyring of this test's own
assert libc.syscall(numbers["add_key"], b"user", b"nsbox-secret", b"told", 4, -3) > 0
own = libc.syscall(numbers["keyctl"], 0, -3, 0)
print("here", own)
for keyring in (None, True, False):
    spec = BoxSpec(security=Security(seccomp=None, keyring=keyring))
    command = ["/usr/bin/python3", "-c", sys.argv[1], str(numbers["keyctl"])]
    done = nsbox.run(command, spec, capture_output=True, text=True)
    print(keyring, done.stdout.strip(), done.stderr[-300:])
"""


@pytest.fixture
def keys() -> None:
    if _native.ask("keyctl") != -errno.EOPNOTSUPP:
        pytest.skip("needs keys: a kernel with CONFIG_KEYS, and no filter that refuses keyctl(2)")


def test_a_command_finds_no_key_of_its_starters(root: None, keys: None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, KEYS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (_, own), *lines = (line.split() for line in done.stdout.splitlines())
    found = {keyring: (seen, session) for keyring, seen, session in lines}
    assert found["False"] == ("True", own)  # the key is there to be found
    for keyring in ("None", "True"):
        seen, session = found[keyring]
        assert seen == "False"
        assert session not in (own, "-1")


def test_an_ordinary_users_quota_is_left_alone(ordinary_user: None) -> None:
    steps = [step.name for step in BoxSpec().plan(["true"])]
    assert "keyctl" not in steps
    spec = BoxSpec(security=Security(keyring=True))
    assert "keyctl" in [step.name for step in spec.plan(["true"])]


def test_keyring_is_a_step_where_it_is_asked_for(keys: None) -> None:
    spec = BoxSpec(security=Security(keyring=True))
    assert nsbox.run(["true"], spec).returncode == 0


def test_a_program_of_ones_own_is_the_filter() -> None:
    mkdir = [
        _native.syscalls()[name] for name in ("mkdirat", "mkdir") if name in _native.syscalls()
    ]
    program = struct.pack("=HBBI", 0x20, 0, 0, 0)  # the number
    for number in mkdir:
        program += struct.pack("=HBBI", 0x15, 0, 1, number)
        program += struct.pack("=HBBI", 0x06, 0, 0, 0x00050000 | errno.EXDEV)
    own = FilterProgram(program + struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))
    spec = BoxSpec(security=Security(seccomp=own))
    done = nsbox.run(["mkdir", "/tmp/x"], spec, capture_output=True, text=True)
    assert done.returncode != 0
    assert "cross-device" in done.stderr
    assert FilterProgram(Seccomp.standard().program()).program() == Seccomp.standard().program()


def test_a_program_that_the_kernel_refuses_is_its_step() -> None:
    spec = BoxSpec(security=Security(seccomp=FilterProgram(b"\xff" * 8)))
    with pytest.raises(nsbox.StepError) as caught:
        nsbox.run(["true"], spec)
    assert (caught.value.step.name, caught.value.errno) == ("seccomp", errno.EINVAL)


@pytest.mark.parametrize("wrong", [b"", b"1234567", "text", b"\0" * 8 * 4097, None])
def test_what_is_no_program_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="instructions"):
        FilterProgram(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seccomp"):
        Security(seccomp=wrong or "none")  # type: ignore[arg-type]


@pytest.mark.guest
@pytest.mark.parametrize("field", ["apparmor", "selinux"])
def test_a_label_is_set_or_refused_with_what_is_missing(field: str) -> None:
    security = attrs.evolve(Security(), **{field: "unconfined"})
    there = {
        "apparmor": Path("/sys/module/apparmor/parameters/enabled"),
        "selinux": Path("/sys/fs/selinux/enforce"),
    }[field]
    failed: nsbox.NsboxError | None = None
    try:
        nsbox.run(["cat", "/proc/self/attr/current"], BoxSpec(security=security), check=True)
    except nsbox.NsboxError as error:
        failed = error
    if isinstance(failed, nsbox.StepError):
        assert failed.step.name == "lsm_set_self_attr"
        assert failed.hint is not None
    elif failed is not None:
        assert field in str(failed)
        assert not there.exists() or "6.8" in str(failed)
    else:
        assert there.exists()


def test_a_label_travels_to_the_kernel_as_it_was_given() -> None:
    """Without such a module the kernel looks at the request as far as that."""
    if _native.ask("lsm_set_self_attr") == -errno.ENOSYS:
        pytest.skip("needs Linux 6.8")
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        pytest.skip("needs a host without AppArmor")
    from nsbox._native.operations import Operation
    from nsbox.perform import perform
    from nsbox.plan import Step

    with pytest.raises(nsbox.StepError) as caught:
        perform([Step(Operation.LABEL, (104, "exec unconfined"))])
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize("wrong", ["", "null\0byte", "x" * 2000])
def test_what_is_no_label_is_refused_by_its_field(wrong: str) -> None:
    for field in ("apparmor", "selinux"):
        with pytest.raises(ValueError, match=field):
            attrs.evolve(Security(), **{field: wrong})
