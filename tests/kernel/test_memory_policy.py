"""From which memory nodes a box has its memory: its commands have the policy, its starter not."""

import os
import pickle
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, MemoryPolicy

LOOK = ["cut", "-d ", "-f2", "/proc/self/numa_maps"]

NUMA = Path("/sys/devices/system/node/online")
pytestmark = pytest.mark.skipif(
    not (NUMA.exists() and os.path.exists("/proc/self/numa_maps")),
    reason="needs memory nodes: CONFIG_NUMA",
)
POLICIES = {
    "bind:0": MemoryPolicy("bind", nodes=[0]),
    "bind=static:0": MemoryPolicy("bind", nodes="0", flags=["static_nodes"]),
    "interleave:0": MemoryPolicy("interleave", nodes="0"),
    "prefer:0": MemoryPolicy("preferred", nodes=[0]),
    "prefer (many):0": MemoryPolicy("preferred_many", nodes={0}),
    "local": MemoryPolicy("local"),
    "default": MemoryPolicy("default"),
}


def policies(run):
    done = run(LOOK, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")) - {""}


@pytest.fixture(autouse=True)
def _the_starter_is_as_it_was():
    def look():
        lines = Path("/proc/self/numa_maps").read_text().splitlines()
        return {line.split()[1] for line in lines}

    before = look()
    yield
    assert look() == before


@pytest.mark.parametrize("shown", POLICIES)
@pytest.mark.parametrize("init", [True, False])
def test_a_command_has_the_policy(shown, init):
    spec = BoxSpec(memory_policy=POLICIES[shown], init=init)
    first, *_ = shown.split(" ")
    assert policies(lambda args, **given: nsbox.run(args, spec, **given)) == {first}


def test_so_has_a_command_that_joins():
    with BoxSpec(memory_policy=MemoryPolicy("bind", nodes=[0])).start() as box:
        assert policies(box.run) == {"bind:0"}


def test_a_node_that_the_machine_lacks_is_told_with_a_hint():
    if NUMA.read_text().strip() == "0-1023":
        pytest.skip("needs a machine that lacks a node")
    with pytest.raises(nsbox.StepError, match="memory node") as caught:
        nsbox.run(["true"], BoxSpec(memory_policy=MemoryPolicy("bind", nodes=[1023])))
    assert caught.value.step.name == "set_mempolicy"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("mode", {"mode": "all"}),
        ("mode", {"mode": None}),
        ("nodes", {"nodes": None}),
        ("nodes", {"nodes": 0}),
        ("nodes", {"nodes": "a"}),
        ("nodes", {"nodes": [-1]}),
        ("nodes", {"nodes": [1024]}),
        ("nodes", {"nodes": ()}),
        ("nodes", {"mode": "local", "nodes": [0]}),
        ("flags", {"flags": ["all"]}),
        ("flags", {"flags": "static_nodes"}),
        ("flags", {"flags": None}),
        ("flags", {"flags": ["static_nodes", "relative_nodes"]}),
        ("flags", {"mode": "preferred", "nodes": (), "flags": ["static_nodes"]}),
    ],
    ids=str,
)
def test_nonsense_is_a_value_error(field, given):
    parameters = {"mode": "bind", "nodes": [0], **given}
    with pytest.raises(ValueError, match=f"^{field}: "):
        MemoryPolicy(parameters.pop("mode"), **parameters)


def test_a_policy_is_a_value():
    policy = MemoryPolicy("bind", nodes="0-3,5", flags={"relative_nodes"})
    assert policy == pickle.loads(pickle.dumps(policy))
    assert hash(policy) == hash(MemoryPolicy("bind", nodes=[5, 3, 2, 1, 0], flags=policy.flags))
    with pytest.raises(ValueError, match=r"^memory_policy: "):
        BoxSpec(memory_policy="bind")
