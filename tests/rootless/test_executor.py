"""Calls of an executor without any right: the zygote has those of a user namespace."""

import os
import sys
from pathlib import Path

import attrs
import pytest
from rights import FIELDS

import nsbox
from nsbox import BoxExecutor, BoxSpec, IDMap, RootFS

cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.usefixtures("ordinary_user")

SPEC = BoxSpec(rootfs=RootFS.system(python=True), hostname="worker")


def standing() -> list[str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [*(line for line in lines if line.split(":")[0] in FIELDS), os.uname().nodename]


def leave() -> list[str]:
    before = os.listdir("/tmp")
    Path("/tmp/left").touch()
    return [*before, *sorted(name for name in os.listdir("/proc") if name.isdigit())]


def test_each_call_has_a_box_of_its_own() -> None:
    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.box_per_call
        for _ in range(3):
            assert executor.submit(leave).result(timeout=60) == ["1", "2"]


def test_a_call_has_the_rights_of_a_command() -> None:
    pattern = "|".join(f"^{field}:" for field in FIELDS)
    command = ["sh", "-c", f"grep -E '{pattern}' /proc/self/status; hostname"]
    done = nsbox.run(command, SPEC, capture_output=True, text=True, check=True)
    with BoxExecutor(SPEC, max_workers=1) as executor:
        assert executor.submit(standing).result(timeout=60) == done.stdout.splitlines()


def test_whoever_is_not_root_inside_has_no_zygote_with_rights() -> None:
    spec = attrs.evolve(SPEC, id_map=IDMap.same())
    with BoxExecutor(spec, max_workers=1) as executor:
        assert not executor.box_per_call
        assert executor.submit(os.getuid).result(timeout=60) == os.getuid()
