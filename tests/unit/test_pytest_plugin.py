"""The plugin as pytest loads it in every run, and what its marker takes; no privilege needed."""

import subprocess
import sys
from importlib import metadata

import pytest
from first import FIRST

from nsbox import NamespaceType, Resources
from nsbox.testing import marker

LOADED = "import sys, pytest, nsbox.pytest_plugin; print(*sys.modules)"


def test_the_plugin_is_found_by_its_entry_point():
    (entry,) = (
        one
        for one in metadata.entry_points(group="pytest11")
        if one.value.partition(".")[0] == "nsbox"
    )
    assert entry.name == entry.value == "nsbox.pytest_plugin"  # so -p with that name finds it, too


def test_loading_the_plugin_loads_nothing_that_it_does_not_need():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert "attrs" not in loaded
    ours = {name for name in loaded if name.startswith("nsbox.")}
    assert ours == FIRST | {"nsbox.pytest_plugin"}


def wish(request: pytest.FixtureRequest, *args, **asked) -> marker.Wish:
    request.node.add_marker(pytest.mark.nsbox(*args, **asked), append=False)
    return marker.wish(request.node)


def test_the_marker_takes_names_and_kinds(request):
    wanted = wish(request, namespaces={"net", NamespaceType.IPC})
    assert wanted.namespaces == {NamespaceType.NET, NamespaceType.IPC}


def test_a_host_name_brings_its_namespace(request):
    assert wish(request, hostname="db").namespaces == {NamespaceType.UTS}


@pytest.mark.nsbox(namespaces={"mnt"}, hostname="outer")
class TestMarked:
    @pytest.mark.nsbox(hostname="inner", resources={"pids_max": 9})
    def test_the_nearest_marker_wins(self, request):
        wanted = marker.wish(request.node)
        assert wanted == marker.Wish(
            frozenset({NamespaceType.MNT, NamespaceType.UTS}), "inner", Resources(pids_max=9)
        )

    # Of these tests only the marks are of interest: what they ask for is not needed to read them.
    pytestmark = pytest.mark.usefixtures("root")


@pytest.mark.parametrize(
    ("asked", "process"),
    [
        ({"namespaces": {"net", "uts", "ipc", "cgroup"}}, False),
        ({"hostname": "db"}, False),
        ({"namespaces": {"net", "mnt"}}, True),
        ({"namespaces": {"user"}}, True),
        ({"resources": Resources(pids_max=9)}, True),
    ],
)
def test_only_what_a_thread_cannot_have_takes_a_process(request, asked, process):
    wanted = wish(request, **asked)
    assert wanted.takes_process(privileged=True) == process
    assert wanted.takes_process(privileged=False)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"namespaces": {"pid"}}, "stays in its pid namespace for life: use the fixture box"),
        ({"namespaces": {"time"}}, "stays with its clocks"),
        ({"namespaces": "net"}, "a set of names"),
        ({"namespaces": {"network"}}, "not 'network'"),
        ({"namespace": {"net"}}, "unexpected keyword argument 'namespace'"),
        ({"hostname": ""}, "hostname: 1 to 64 bytes"),
        ({"resources": {"memory_max": "lots"}}, "memory_max"),
        ({}, "asks for nothing"),
    ],
)
def test_nonsense_in_the_marker_is_a_usage_error_that_says_why(request, asked, complaint):
    with pytest.raises(pytest.UsageError, match=complaint):
        wish(request, **asked)


def test_the_marker_takes_nothing_by_position(request):
    with pytest.raises(pytest.UsageError, match="by name"):
        wish(request, {"net"})
