"""A user of no name, to whom /etc/subuid grants nothing: who can have all but ranges of ids.

The program is started by root, for an interpreter may be where no stranger can read it, and gives
up all it could do once it has loaded what it needs.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nsbox import NamespaceType

pytestmark = pytest.mark.usefixtures("root")
UID = 60123

PRELUDE = f"""
import ctypes, gc, os, nsbox
from nsbox import *
import nsbox.host, nsbox.host.id_ranges
T = NamespaceType
nsbox.run(["true"])
nsbox.probe()
os.chdir("/")
os.setgroups([])
os.setresgid({UID}, {UID}, {UID})
os.setresuid({UID}, {UID}, {UID})
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: a program that it had started itself would be
def refusal(function):
    try:
        function()
    except (NsboxError, OSError, ValueError) as error:
        return f"{{type(error).__name__}}: {{error}}"
def descriptors():
    gc.collect()
    nsbox._native.forget_memory()
    return os.listdir("/proc/self/fd"), open("/proc/self/task/%d/children" % os.getpid()).read()
before = descriptors()
"""


def as_stranger(script):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PRELUDE + textwrap.dedent(script) + "assert descriptors() == before",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def _no_grant():
    for file in ("/etc/subuid", "/etc/subgid"):
        if os.path.exists(file) and f"{UID}:" in Path(file).read_text():
            pytest.skip(f"needs a user without ranges, and {file} grants some to {UID}")


def test_every_kind_is_made_and_joined():
    told = as_stranger("""
    for kind in T:
        with Namespace.create(kind) as made:
            spec = BoxSpec(namespaces=ISOLATED | {kind: made})
            command = ["readlink", f"/proc/self/ns/{kind.proc_name}"]
            done = nsbox.run(command, spec, capture_output=True, text=True, check=True)
            print(kind.proc_name, done.stdout.strip() == str(made), made.owner_uid)
            del spec, done
    """)
    assert told.splitlines() == [f"{kind.proc_name} True {UID}" for kind in NamespaceType]


def test_ranges_are_refused_with_the_reason_and_what_would_help():
    told = as_stranger("""
    print(refusal(lambda: Namespace.create(T.USER, id_map=IDMap.subordinate())))
    print(refusal(lambda: Namespace.create(T.USER, id_map=IDMap.ranges([(0, 100000, 9)]))))
    print(refusal(lambda: nsbox.run(["true"], BoxSpec(id_map=IDMap.subordinate()))))
    """).splitlines()
    assert len(told) == 3
    for line in told:
        assert line.startswith("UnsupportedError: id_map: ")
    assert f"/etc/subuid grants no range to user {UID}" in told[0] == told[2]
    assert "usermod --add-subuids" in told[0]
    assert "grants nothing" in told[1]


def test_what_newuidmap_says_is_passed_on():
    """It maps nobody without a name, be it to itself alone."""
    told = as_stranger(f"""
    print(refusal(lambda: Namespace.create(T.USER, id_map=IDMap.ranges([(0, {UID}, 1)]))))
    """)
    assert "newuidmap refused: newuidmap: " in told
