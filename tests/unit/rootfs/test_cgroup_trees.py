"""Cgroup trees lowered from what /proc/self/cgroup says, on each sort of host."""

import pytest

from nsbox.procfs import parse_cgroup
from nsbox.rootfs.cgroup_trees import trees

HOSTS = {
    "v2": ("0::/user.slice\n", {"cgroup2": ""}),
    "hybrid": (
        "5:cpu,cpuacct:/\n4:memory:/a\n1:name=systemd:/\n0::/\n",
        {"cgroup2": "unified", "memory": "memory", "cpu": "cpu,cpuacct", "none": "systemd"},
    ),
    "v1": ("4:memory:/a\n", {"memory": "memory"}),
}


@pytest.mark.parametrize("host", HOSTS)
def test_each_hierarchy_has_its_place(host):
    text, places = HOSTS[host]
    lines = [str(step) for step in trees("/cg", parse_cgroup(text))]
    for option, place in places.items():
        wanted = f'"{option}"'
        begun = next(i for i, line in enumerate(lines) if wanted in line)
        attached = next(line for line in lines[begun:] if line.startswith("move_mount"))
        assert f'"{place or "cg"}"' in attached
    mounted = [line for line in lines if " = fsmount(" in line and line.startswith("tree")]
    assert len(mounted) == len(places)
    assert all("MOUNT_ATTR_RDONLY" in line for line in mounted)


def test_controllers_that_share_a_hierarchy_have_links():
    lines = [str(step) for step in trees("/cg", parse_cgroup(HOSTS["hybrid"][0]))]
    assert 'symlinkat("cpu,cpuacct", mount, "cpuacct")' in lines
    assert '"name", "systemd"' in "".join(lines)
    assert lines[-1].startswith('mount_setattr(mount, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY')
