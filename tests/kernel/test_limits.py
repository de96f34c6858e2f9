"""Limits that bite, on whatever cgroups this host has."""

import pytest

import nsbox
from nsbox import BoxSpec, Mount, Resources, RootFS
from nsbox.process import groups_of

pytestmark = [pytest.mark.usefixtures("writable_cgroups"), pytest.mark.cgroups]


@pytest.fixture
def writable_cgroups() -> None:
    report = nsbox.probe().cgroups
    if not report.writable:
        pytest.skip(f"needs cgroups to write to: {report.reason}")


def test_memory_is_limited() -> None:
    if "memory" not in nsbox.subsystems():
        pytest.skip("needs the memory subsystem in a hierarchy: on v1, Linux 6.12 may lack it")
    spec = BoxSpec(resources=Resources(memory_max="32M"))
    done = nsbox.run(
        ["sh", "-c", "head -c 200M /dev/zero | tail -c 199M"], spec, stderr=nsbox.DEVNULL
    )
    assert done.returncode in (137, -9)  # the hog, or the shell above it
    assert done.usage.memory_peak is not None
    assert done.usage.memory_peak <= 33 << 20


def test_a_limit_whose_subsystem_is_nowhere_is_refused() -> None:
    if "memory" in nsbox.subsystems():
        pytest.skip("needs a host without the memory subsystem")
    with pytest.raises(nsbox.UnsupportedError, match="memory"):
        nsbox.run(["true"], BoxSpec(resources=Resources(memory_max="32M")))


def test_tasks_are_limited() -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo all started"
    assert b"all" in nsbox.run(["sh", "-c", script], stdout=nsbox.PIPE).stdout
    few = BoxSpec(resources=Resources(pids_max=5))
    done = nsbox.run(["sh", "-c", script], few, capture_output=True)
    assert done.returncode != 0
    assert b"all" not in done.stdout


def test_cpu_time_is_limited() -> None:
    script = ["timeout", "2", "sh", "-c", "while :; do :; done"]
    done = nsbox.run(script, BoxSpec(resources=Resources(cpu_max=0.25)))
    assert done.usage.cpu_seconds < 0.4 * done.usage.wall_seconds


def test_what_a_box_is_given_is_not_taken_for_the_name_of_its_group() -> None:
    text = "########\n# Settings #\n########\n"
    rootfs = RootFS.system().with_mounts(Mount.file("/etc/settings", text))
    spec = BoxSpec(rootfs=rootfs, resources=Resources(pids_max=5))
    done = nsbox.run(["cat", "/etc/settings"], spec, capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_a_box_knows_its_groups_by_the_number_that_they_have() -> None:
    spec = BoxSpec(resources=Resources(pids_max=5))
    with nsbox.popen(["sleep", "60"], spec) as one, nsbox.popen(["sleep", "60"], spec) as other:
        for process in (one, other):
            known = groups_of(process)
            assert known is not None
            with nsbox.Task(process.pid) as task:
                found = {str(f) for group in task.cgroups.values() for f in group.folders.values()}
            assert set(known.directories.values()) <= found
            process.kill()


def test_the_groups_are_gone_after_a_failure_too() -> None:
    with pytest.raises(FileNotFoundError):
        nsbox.run(["no-such-command"], BoxSpec(resources=Resources(pids_max=5)))
