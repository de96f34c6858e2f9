"""The kernel refuses one system call of a start: the error names it, and nothing is left.

A filter stands around the caller, so all that a start asks of the kernel goes through it, what no
step is made of included. See also `test_faults.py`.
"""

import errno
import json
import subprocess
import sys

import pytest

import nsbox
from nsbox import _native

CALLER = r"""
import ctypes, json, os, sys
import nsbox
from nsbox import Argument, BoxSpec, Choice, NamespaceType, Rule, Seccomp, _native

def refused(name, number, argument):
    '''Have one call fail in this process and all that it starts.'''
    tests = (Argument(argument[0], "==", argument[1]),) if argument else ()
    # Where there are the younger calls mount(2) is not used, least of all when one has failed.
    by_name = Rule("mount", "kill_process")
    program = Seccomp([Rule(name, number, arguments=tests), by_name], "allow").program()

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, program)), 0, 0) == 0

def left():
    _native.forget_memory()  # kept for the next launch
    return (
        sorted(os.listdir("/proc/self/fd")),
        open(f"/proc/self/task/{os.getpid()}/children").read(),
        open("/proc/self/mountinfo").read(),
        [os.readlink(f"/proc/self/ns/{kind}") for kind in sorted(os.listdir("/proc/self/ns"))],
        os.getcwd(),
    )

def told(name, number, argument, pty):
    refused(name, number, argument)
    before = left()
    try:
        nsbox.popen(["true"], spec, user=user, pty=pty).wait()
    except nsbox.StepError as error:
        found = [error.step.name, error.errno, str(error.step)]
    except OSError as error:
        found = [None, error.errno, str(error)]
    else:
        found = ["nothing", 0, ""]
    return [*found, left() == before]

def in_a_fork(*case):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            os.write(writing, json.dumps(told(*case)).encode())
        except BaseException as error:
            os.write(writing, json.dumps([repr(error)]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    os.wait()
    return json.loads(text)

_native.first_process()
spec = BoxSpec(hostname="box", namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW})
user = 0 if os.geteuid() == 0 else None
json.dump([in_a_fork(*case) for case in json.loads(sys.argv[1])], sys.stdout)
"""

STEPS = [
    "clone3 close_range execveat setsid umask sethostname open_tree fsopen fsconfig fsmount",
    "mount_setattr move_mount mkdirat symlinkat fchdir pivot_root umount2 chdir capset",
    "execve",
]
"""Calls that steps are named by, in any box."""

INNER = {
    "openat2": ("open_tree", "move_mount", "mount_setattr", "mkdirat", "openat", "symlinkat"),
    "socket": ("ioctl",),
    "dup3": ("dup2",),
}
"""Calls that a step of another name is made of."""

BEFORE = ("memfd_create", "pidfd_open", "ftruncate")
"""Calls by which a launch is prepared; no step is at fault."""

PRCTL = {"PR_SET_DUMPABLE": 4, "PR_CAPBSET_DROP": 24, "PR_SET_NO_NEW_PRIVS": 38}
IOCTL = {"SIOCSIFFLAGS": 0x8914, "TIOCGPTPEER": 0x5441, "TIOCSCTTY": 0x540E}

Case = tuple[str, int, tuple[int, int] | None, bool]
"""The call, its errno, the number and value of an argument if one counts, whether on a terminal."""


def outcomes(cases: list[Case]) -> list[list[object]]:
    done = subprocess.run(
        [sys.executable, "-c", CALLER, json.dumps(cases)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def _filters() -> None:
    if not nsbox.probe().user_namespaces.ok:
        pytest.skip(f"needs user namespaces: {nsbox.probe().user_namespaces.reason}")


def test_a_call_that_the_kernel_refuses_is_the_step_that_failed() -> None:
    names = " ".join(STEPS).split()
    assert set(names) <= _native.syscalls().keys()
    for number in (errno.EACCES, errno.ENOMEM):  # others may mean that there is no such call
        cases = [(name, number, None, False) for name in names]
        for name, (step, answer, shown, same) in zip(names, outcomes(cases), strict=True):
            assert (step, answer) == (name, number), (name, shown)
            assert same, name


def test_a_mount_that_cannot_be_moved_to_its_place_is_not_made_by_name_instead() -> None:
    """A filter kills whoever calls mount(2): the first process's death would be the error."""
    for number in (errno.EINVAL, errno.EACCES, errno.EBUSY):
        (step, answer, shown, same), *_ = outcomes([("move_mount", number, None, False)])
        assert (step, answer) == ("move_mount", number), shown
        assert same


def test_a_call_within_a_step_is_told_as_that_step() -> None:
    cases = [(name, errno.EMFILE, None, False) for name in INNER]
    for name, (step, answer, shown, same) in zip(INNER, outcomes(cases), strict=True):
        assert step in INNER[name], (name, shown)
        assert answer == errno.EMFILE
        assert same, name


def test_what_a_process_would_set_of_itself_is_named_too() -> None:
    cases = [("prctl", errno.EACCES, (0, number), False) for number in PRCTL.values()]
    for name, (step, answer, shown, same) in zip(PRCTL, outcomes(cases), strict=True):
        assert (step, answer) == ("prctl", errno.EACCES), (name, shown)
        assert name in str(shown)
        assert same, name


def test_a_launch_that_cannot_be_prepared_is_an_os_error() -> None:
    cases = [(name, errno.ENOMEM, None, False) for name in BEFORE]
    for name, (step, answer, shown, same) in zip(BEFORE, outcomes(cases), strict=True):
        assert (step, answer) == (None, errno.ENOMEM), (name, shown)
        assert same, name


def test_an_order_to_a_device_is_named_too() -> None:
    cases = [("ioctl", errno.ENOTTY, (1, number), True) for number in IOCTL.values()]
    for name, (step, answer, shown, same) in zip(IOCTL, outcomes(cases), strict=True):
        assert (step, answer) == ("ioctl", errno.ENOTTY), (name, shown)
        assert name in str(shown)
        assert same, name
