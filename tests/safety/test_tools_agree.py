"""What tools for looking around say of a box is what its `Security` says."""

import json
import re
import shutil
from collections.abc import Callable

import pytest

import nsbox
from nsbox import BoxSpec, Seccomp, Security, _native
from nsbox.constants import Capability

SECURITIES = {
    "default": Security(),
    "few": Security(capabilities=Capability.CAP_CHOWN | Capability.CAP_NET_RAW),
    "none": Security(capabilities=Capability(0)),
    "no filter": Security(seccomp=None),
    "privileged": Security.privileged(),
    "strict": Security.strict(),
}


BoxOf = Callable[[str], BoxSpec]


@pytest.fixture
def box_of(request: pytest.FixtureRequest) -> BoxOf:
    def find(name: str) -> BoxSpec:
        security = SECURITIES[name]
        return (
            request.getfixturevalue("strict")
            if security.needs_limits
            else BoxSpec(security=security)
        )

    return find


@pytest.mark.parametrize("name", SECURITIES)
def test_the_status_of_a_process_says_the_same(name: str, box_of: BoxOf) -> None:
    spec, security = box_of(name), SECURITIES[name]
    command = ["grep", "-E", "^(Seccomp|NoNewPrivs)", "/proc/self/status"]
    done = nsbox.run(command, spec, capture_output=True, text=True, check=True)
    found = dict(line.split(":\t") for line in done.stdout.splitlines())
    around = nsbox.run(
        command, BoxSpec(security=Security.privileged()), capture_output=True, text=True
    )
    outer = dict(line.split(":\t") for line in around.stdout.splitlines())  # the host's own filters
    more = security.seccomp is not None
    assert found["NoNewPrivs"] == ("1" if security.no_new_privs else outer["NoNewPrivs"])
    assert found["Seccomp"] == ("2" if more else outer["Seccomp"])
    if "Seccomp_filters" in found:  # since Linux 5.9
        assert int(found["Seccomp_filters"]) == int(outer["Seccomp_filters"]) + more


@pytest.mark.parametrize("name", SECURITIES)
def test_capsh_says_the_same(name: str, box_of: BoxOf) -> None:
    if not shutil.which("capsh", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        pytest.skip("needs capsh (Debian: libcap2-bin)")
    spec, security = box_of(name), SECURITIES[name]
    done = nsbox.run(["/usr/sbin/capsh", "--print"], spec, capture_output=True, text=True)
    said = dict(re.findall(r"^(Current|Bounding set|Ambient set) ?[:=]+ ?(.*)$", done.stdout, re.M))
    if security.is_privileged:
        assert "cap_sys_admin" in said["Bounding set"]
        return
    kept = {str(one.name).lower() for one in security.capabilities}
    bounding = {name for name in said["Bounding set"].split(",") if name}
    assert bounding == kept
    assert said["Ambient set"] == ""
    current = said["Current"]
    assert not re.search(r"[+=][ep]*i", current)  # inheritable
    effective = {
        name
        for names, _ in re.findall(r"(cap_[a-z_,]+)[+=](ep|eip)", current)
        for name in names.split(",")
    }
    assert effective == kept


TRY = r"""
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
answers = {}
for name, number in json.loads(sys.argv[1]).items():
    ctypes.set_errno(0)
    libc.syscall(number, -1, -1, -1, -1, -1, -1)
    answers[name] = ctypes.get_errno()
print(json.dumps(answers))
"""

HARMLESS = "getpid getuid getppid getgid gettid sched_yield getpgrp fstat lseek getsid read write close dup"


@pytest.mark.parametrize("name", ["default", "strict"])
def test_what_is_blocked_is_what_the_filter_does_not_list(name: str, box_of: BoxOf) -> None:
    """Each call is tried, as amicontained does it: those that are refused, without arguments."""
    import errno

    spec, seccomp = box_of(name), SECURITIES[name].seccomp
    assert isinstance(seccomp, Seccomp)
    listed = {call for rule in seccomp.rules for call in rule.names}
    numbers = _native.syscalls()
    refused = {call: number for call, number in numbers.items() if call not in listed}
    assert len(refused) > 40
    allowed = {call: numbers[call] for call in HARMLESS.split() if call in numbers}
    command = ["/usr/bin/python3", "-c", TRY, json.dumps(refused | allowed)]
    done = nsbox.run(command, spec, capture_output=True, text=True)
    answers = json.loads(done.stdout)
    assert {call for call in refused if answers[call] != errno.EPERM} == set()
    assert {call for call in allowed if answers[call] == errno.EPERM} == set()
