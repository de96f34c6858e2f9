"""A caller's inheritable and ambient capabilities stay its own."""

import json
import shutil
import subprocess
import sys

import pytest

CALLER = """
import json, nsbox
from nsbox import BoxSpec, Security

def inheritable():
    return open("/proc/self/status").read()

def sets(done):
    lines = (line.split(":\\t") for line in done.stdout.splitlines() if line.startswith("Cap"))
    return {name: int(value, 16) for name, value in lines}

status = ["cat", "/proc/self/status"]
found = []
for security in (Security(), Security.privileged()):
    spec = BoxSpec(security=security)
    found.append(sets(nsbox.run(status, spec, capture_output=True, text=True)))
    with spec.start() as box:
        found.append(sets(box.run(status, capture_output=True, text=True)))
own = int(next(line for line in inheritable().splitlines() if "CapInh" in line).split()[1], 16)
print(json.dumps([own, found]))
"""


def test_what_the_caller_would_hand_down_is_not_handed_down(root: None) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (Debian: util-linux)")
    given = ["--inh-caps=+net_raw,+chown,+kill", "--ambient-caps=+net_raw,+chown"]
    done = subprocess.run(
        ["setpriv", *given, sys.executable, "-c", CALLER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    own, found = json.loads(done.stdout)
    assert own == 1 << 13 | 1 << 0 | 1 << 5
    assert len(found) == 4
    assert all(sets["CapInh"] == sets["CapAmb"] == 0 for sets in found), found
