"""The command line for one command by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"


@pytest.mark.usefixtures("kernel")
def test_output_errors_and_status_are_passed_on_and_the_host_is_left_as_it_was(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("the host's\n")
    script = "cat file; echo changed > file; cat file >&2; ls /sys/fs/cgroup; exit 7"
    done = subprocess.run(
        [sys.executable, RUN, "--cgroup", "v2", "--", "sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("the host's\n")
    assert "cgroup.controllers" in done.stdout.split()
    assert done.stderr == "changed\n"
    assert (tmp_path / "file").read_text() == "the host's\n"


@pytest.mark.usefixtures("kernel")
def test_a_user_is_an_ordinary_one_in_a_group_of_its_own() -> None:
    script = "id -un; cat /proc/self/cgroup; echo 0 > /sys/fs/cgroup$(cut -c4- /proc/self/cgroup)/../cgroup.procs"
    done = subprocess.run(
        [sys.executable, RUN, "--user", "nsbox-tester", "--", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, group = done.stdout.split()
    assert name == "nsbox-tester"
    assert group.endswith(".service/init.scope")
