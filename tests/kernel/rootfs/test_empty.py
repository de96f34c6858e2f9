"""A root of mounts and files alone."""

from collections.abc import Callable

import pytest

import nsbox
from nsbox import Mount, RootFS

pytestmark = pytest.mark.guest

Shell = Callable[..., nsbox.CompletedProcess]


def test_a_tree_of_mounts_and_files_alone(busybox: str, sh: Shell) -> None:
    rootfs = RootFS.empty().with_mounts(
        Mount.bind(busybox, "/bin/busybox", readonly=True),
        Mount.symlink("/bin/cat", "busybox"),
        Mount.file("/etc/motd", "designed here\n"),
    )
    script = "/bin/cat /etc/motd; for d in / /bin /etc; do /bin/busybox ls $d; done"
    assert sh(script, rootfs).stdout.split() == [
        *("designed", "here"),
        *("bin", "dev", "etc", "proc", "tmp"),
        *("busybox", "cat"),
        "motd",
    ]


def test_it_can_only_be_read(busybox: str, sh: Shell) -> None:
    rootfs = RootFS.empty().with_mounts(Mount.bind(busybox, "/bin/busybox"))
    for script in ("echo x > /x", "echo x > /bin/x"):
        assert sh(script, rootfs).returncode != 0
    assert sh("echo x > /tmp/x && echo kept", rootfs).stdout == "kept\n"
