"""Where a root is built: what of the host its steps depend on."""

import attrs
import pytest

from nsbox import Mount, RootFS
from nsbox.caller import Caller
from nsbox.constants import Capability
from nsbox.rootfs.lower import State, state, steps
from nsbox.rootfs.site import Site, is_initial

DISK = "29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
INITIAL = "1 1 0:2 / / rw - rootfs rootfs rw\n"
BELOW = "22 1 0:21 / /proc rw - proc proc rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "expected"),
    [(DISK + BELOW, False), (INITIAL + BELOW, True), (INITIAL + DISK, False), (BELOW, False)],
)
def test_the_kernels_initial_file_system_is_told(mountinfo, expected):
    assert is_initial(mountinfo) is expected


def site(**fields):
    found = Site.of(
        Caller(0, 0, Capability.CAP_MKNOD | Capability.CAP_SYS_ADMIN, "/", 1),
        changes_user=fields.pop("changes_user", False),
        work="nsbox-1-2-3",
        kept=fields.pop("kept", Capability(0)),
    )
    return attrs.evolve(found, **fields)


def test_a_box_that_keeps_cap_mknod_gets_devices_that_it_cannot_add_to():
    assert not site(kept=Capability.CAP_MKNOD).devices
    assert not site(changes_user=True).devices


def test_where_pivot_root_cannot_be_the_plan_has_chroot():
    names = [step.name for step in steps(RootFS.empty(), site(pivots=False))]
    assert names[-3:] == ["fchdir", "chroot", "chdir"]
    assert "pivot_root" not in names


@pytest.mark.parametrize("staged", [False, True])
def test_whatever_is_stacked_on_the_old_root_is_let_go_of(staged):
    mounts = [Mount.file("/a", "x")] if staged else []
    lines = [str(step) for step in steps(RootFS.empty().with_mounts(*mounts), site(pivots=True))]
    stacked = [line for line in lines if line.startswith("move_mount(") and 'AT_FDCWD, "/"' in line]
    assert lines.count('umount2(".", MNT_DETACH)') == len(stacked) == 1 + staged


def test_on_the_host_nothing_but_the_place_is_touched():
    rootfs = RootFS.overlay("/usr/share").with_mounts(Mount.file("/a", "x"))
    found = list(steps(rootfs, site(own_mounts=False, place="/mnt/x", standard=False)))
    assert {
        step.path for step in found if 'AT_FDCWD, "' in str(step) and step.name == "move_mount"
    } == {"/mnt/x"}
    assert not {"pivot_root", "umount2", "chroot", "chdir"} & {step.name for step in found}
    assert not [step for step in found if "mount_setattr(AT_FDCWD" in str(step)]


def test_a_lowering_is_kept_as_long_as_the_host_is_the_same(tmp_path):
    assert state(RootFS.directory(tmp_path, readonly=True)) is None
    assert state(RootFS.directory(tmp_path / "none")) is None
    shown = State(sources=((str(tmp_path), True),))
    assert state(RootFS.directory(tmp_path)) == state(RootFS.overlay(tmp_path)) == shown
    assert state(RootFS.system()) == state(RootFS.system())
    assert state(RootFS.system(python=True)) != state(RootFS.system())
