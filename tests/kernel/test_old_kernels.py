"""On a kernel without `mount_setattr` roots are made by mount(2): tests/kernel/rootfs runs there."""

import pytest

import nsbox

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        nsbox.probe().kernel.version >= (5, 12), reason="needs a kernel before Linux 5.12"
    ),
]


def test_the_probe_says_so_and_the_plan_shows_it() -> None:
    finding = nsbox.probe().mount_api
    assert not finding.ok
    assert "mount_setattr came with Linux 5.12" in str(finding.reason)
    names = {step.name for step in nsbox.BoxSpec().plan(["true"])}
    assert "mount" in names
    assert not names & {"open_tree", "move_mount", "mount_setattr"}


def test_a_box_gets_what_passes_and_nothing_else() -> None:
    """Before Linux 5.11, descriptors are closed one by one at the exec."""
    done = nsbox.run(["ls", "/proc/self/fd"], capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1", "2", "3"]  # the last is what it looks by
