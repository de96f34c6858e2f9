"""What an ordinary user without a delegated group is told."""

import pytest

import nsbox
from nsbox import Cgroup, Resources, UnsupportedError

pytestmark = pytest.mark.usefixtures("ordinary_user")


def test_the_error_says_what_to_run():
    if nsbox.probe().cgroups.writable:
        pytest.skip("needs a user to whom no cgroup is delegated")
    with pytest.raises(
        UnsupportedError, match=r"as root|systemd-run|mounted read only|no hierarchy"
    ):
        Cgroup.create("nsbox-mine", Resources(memory_max="64M"))
    with pytest.raises(UnsupportedError, match=r"cgroups"):
        Cgroup.create("nsbox-mine")


def test_looking_needs_no_rights():
    for group in nsbox.Task.current().cgroups.values():
        assert group.exists
        assert group.children is not None
        assert group.stats() is not None
    assert nsbox.reap() == ()
