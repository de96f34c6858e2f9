"""Containers of an ordinary user: kept where that may write, in a user namespace."""

import shutil

import pytest

from nsbox import BoxSpec, RootFS
from nsbox.oci import Container, write_bundle

BUSYBOX = shutil.which("busybox")
pytestmark = [
    pytest.mark.usefixtures("ordinary_user"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (Debian: busybox-static)"),
]


def test_a_container_is_created_joined_started_and_deleted(tmp_path):
    (tmp_path / "tree/bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, tmp_path / "tree/bin/sh")
    spec = BoxSpec(rootfs=RootFS.directory(tmp_path / "tree"), hostname="inside")
    command = ["/bin/sh", "-c", "busybox id -u; exit 4"]
    bundle = write_bundle(tmp_path / "bundle", spec, command)
    with Container.create(bundle, "nsbox-test", root=tmp_path / "state") as made:
        done = made.run(
            ["/bin/sh", "-c", "echo $$; read name </proc/sys/kernel/hostname; echo $name"]
        )
        assert done.stdout.split()[1:] == [b"inside"]
        Container.load("nsbox-test", root=tmp_path / "state").start()
        assert made.wait(60) == 4
    assert list((tmp_path / "state").iterdir()) == []
