"""On a kernel that is too old for boxes, the error says so."""

import pytest

import nsbox

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        nsbox.probe().kernel.version >= (5, 12), reason="needs a kernel before Linux 5.12"
    ),
]


def test_the_error_names_the_system_call_and_the_kernel_that_brought_it() -> None:
    with pytest.raises((nsbox.StepError, nsbox.UnsupportedError), match="mount_setattr") as caught:
        nsbox.run(["true"])
    assert "Linux 5.12" in str(caught.value)


def test_the_probe_says_so_before() -> None:
    finding = nsbox.probe().mount_api
    assert not finding.ok
    assert "mount_setattr came with Linux 5.12" in str(finding.reason)
