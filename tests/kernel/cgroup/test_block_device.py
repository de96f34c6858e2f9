"""Limits on a real block device, one that holds nothing: the guests of tests/guest have one."""

import os
import time

import pytest

from nsbox import Cgroup, IOMax, Resources

pytestmark = [
    pytest.mark.cgroups,
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(
        "NSBOX_GUEST_DISK" not in os.environ, reason="needs a spare disk, as guests have"
    ),
]

MiB = 1 << 20
DISK = os.environ.get("NSBOX_GUEST_DISK", "")
NAME = f"nsbox-{os.getpid()}-disk"


@pytest.mark.parametrize(
    ("direction", "operands"),
    [
        pytest.param("wbps", f"if=/dev/zero of={DISK} oflag=direct", id="write"),
        pytest.param("rbps", f"if={DISK} of=/dev/null iflag=direct", id="read"),
    ],
)
def test_bytes_per_second_are_limited_and_counted(start, direction, operands):
    limit, amount = 4 * MiB, 12 * MiB
    wish = Resources(io_max={DISK: IOMax(**{direction: limit})})
    with Cgroup.create(NAME, wish) as group:
        process = start(f"dd {operands} bs=1M count={amount // MiB}")
        group.attach(process.pid)
        begun = time.monotonic()
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        seconds = time.monotonic() - begun
        total = group.stats().io.total
    assert 0.9 * amount / limit <= seconds <= 2 * amount / limit
    assert (total.wbytes if direction == "wbps" else total.rbytes) >= amount
