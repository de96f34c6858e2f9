"""podman, with nsbox as its runtime: an image is run, more commands in it, its log read, stopped."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from below import until

from nsbox.cgroup.hierarchy import hierarchies

PODMAN, CONMON, BUSYBOX = (shutil.which(name) for name in ("podman", "conmon", "busybox"))
pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(None in (PODMAN, CONMON), reason="needs podman and conmon (Debian's)"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (Debian: busybox-static)"),
]

RUNTIME = Path(__file__).with_name("runtime.py")
GROUP = f"nsbox-podman-{os.getpid()}"
SERVER = "trap 'echo ended; exit 0' TERM; echo up; while :; do sleep 0.1; done"


def settings(folder):
    """Keep all of podman's in the folder; limits as the caller's, who may not raise them."""
    path = folder / "containers.conf"
    path.write_text(
        '[containers]\ndefault_ulimits = ["nofile=512:512", "nproc=512:512"]\n'
        f'[engine]\nlock_type = "file"\nevents_logger = "file"\ntmp_dir = "{folder}/tmp"\n'
        f'static_dir = "{folder}/libpod"\nvolume_path = "{folder}/volumes"\n'
    )
    return path


@pytest.fixture(scope="module")
def podman():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(prefix="nsbox-podman-") as name:
        folder = Path(name)
        runtime = folder / "nsbox-runtime"  # podman cleans up without the flags it was given
        runtime.write_text(
            f'#!/bin/sh\nexec {sys.executable} {RUNTIME} --root {folder}/state "$@"\n'
        )
        runtime.chmod(0o755)
        command = [
            *(PODMAN, "--root", folder / "root", "--runroot", folder / "runroot"),
            *("--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--runtime", runtime),
        ]
        env = os.environ | {"CONTAINERS_CONF": str(settings(folder))}

        def call(*args, **options):
            return subprocess.run(
                [*command, *args],
                env=env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                **options,
            )

        try:
            image(folder, call)
            yield call
        finally:
            call("rm", "--force", "--all", "--time", "0")
            call("rmi", "--force", "--all")
            left = remove_groups()
        assert not os.listdir(folder / "state"), "podman has deleted all containers"
    assert not left


def image(folder, call):
    (folder / "tree/bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, folder / "tree/bin/busybox")
    for applet in ("sh", "echo", "sleep", "id", "hostname", "cat", "tty", "true"):
        (folder / "tree/bin" / applet).symlink_to("busybox")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / "tree.tar", "."], check=True)
    done = call("import", "--change", "CMD=/bin/id", str(folder / "tree.tar"), "nsbox-test:1")
    assert done.returncode == 0, done.stderr


def remove_groups():
    """Remove what podman made for its monitors, and leaves."""
    left = []
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(f"{hierarchy.mountpoint}/{GROUP}", topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                left.append(folder)
    return left


def run_options(*more):
    return ["run", "--network", "none", "--cgroup-parent", f"/{GROUP}", *more]


@pytest.fixture
def server(podman):
    """A container that runs until it is told to end."""
    options = run_options("--detach", "--name", "server", "--hostname", "inside", "--memory", "64m")
    done = podman(*options, "nsbox-test:1", "sh", "-c", SERVER)
    assert done.returncode == 0, done.stderr
    until(lambda: podman("logs", "server").stdout == "up\n")  # process 1 listens to signals
    yield "server"
    podman("rm", "--force", "--time", "0", "server")


def test_an_image_is_run_and_its_status_and_output_come_back(podman):
    done = podman(*run_options("--rm"), "nsbox-test:1", "sh", "-c", "echo one; echo $$; exit 7")
    assert (done.stdout, done.returncode) == ("one\n1\n", 7), done.stderr


def test_the_command_of_an_image_is_run_as_another_user(podman):
    done = podman(*run_options("--rm", "--user", "12:34"), "nsbox-test:1")
    assert done.stdout.startswith("uid=12 gid=34"), done.stderr


def test_input_reaches_a_container(podman):
    done = podman(*run_options("--rm", "--interactive"), "nsbox-test:1", "cat", input="said\n")
    assert done.stdout == "said\n", done.stderr


def test_a_container_has_a_terminal_if_it_is_to(podman):
    done = podman(*run_options("--rm", "--tty"), "nsbox-test:1", "tty")
    assert done.stdout.strip() == "/dev/pts/0", done.stderr


def test_a_command_that_is_not_there_is_an_error_of_podmans(podman):
    done = podman(*run_options("--rm"), "nsbox-test:1", "/bin/missing")
    assert done.returncode in (126, 127)
    assert "/bin/missing" in done.stderr


def test_commands_are_run_in_a_container(podman, server):
    done = podman("exec", server, "sh", "-c", "hostname; cat /proc/1/comm; exit 4")
    assert (done.stdout, done.returncode) == ("inside\nsh\n", 4), done.stderr
    done = podman("exec", "--interactive", server, "cat", input="said\n")
    assert done.stdout == "said\n", done.stderr
    done = podman("exec", "--tty", server, "tty")
    assert done.stdout.strip() == "/dev/pts/0", done.stderr


def test_a_container_is_in_the_group_that_podman_names(podman, server):
    told = json.loads(podman("inspect", server).stdout)[0]
    groups = Path(f"/proc/{told['State']['Pid']}/cgroup").read_text()
    assert f"/{GROUP}/libpod-{told['Id']}" in groups
    assert told["State"]["Status"] == "running"


def test_a_container_is_stopped_and_its_log_is_read(podman, server):
    assert podman("stop", "--time", "60", server).returncode == 0
    assert podman("logs", server).stdout == "up\nended\n"
    state = json.loads(podman("inspect", server).stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    assert podman("start", server).returncode == 0
    assert podman("kill", server).returncode == 0
    assert podman("wait", server).stdout == "137\n"
