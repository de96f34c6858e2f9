"""No folder of the caller's is a way in: not as a descriptor, and not as a working folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec
from nsbox.plan import Slot


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[int]:
    """A folder of the host's, open and to be inherited."""
    (tmp_path / "canary").write_text("found")
    fd = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    yield fd
    os.close(fd)


def refused(cwd: str, **options: object) -> bool:
    """Whether a working folder is refused; where it is not, it must be in the box."""
    script = "ls; ls ..; cat canary; readlink /proc/self/cwd"
    if not options:
        script += "; for fd in /proc/self/fd/*; do ls $fd/; done"
    try:
        done = nsbox.run(
            ["sh", "-c", script], BoxSpec(), cwd=cwd, capture_output=True, text=True, **options
        )
    except nsbox.StepError as error:
        return error.step.name == "chdir"
    assert "canary\n" not in done.stdout
    assert "found" not in done.stdout
    assert "unreachable" not in done.stdout
    return False


@pytest.mark.parametrize("process", ["self", "1"])
def test_a_descriptor_of_the_callers_is_no_working_folder(outside: int, process: str) -> None:
    for fd in {*range(20), outside}:
        refused(f"/proc/{process}/fd/{fd}")


def test_one_that_is_passed_is_none_either(outside: int) -> None:
    """What the steps themselves hold are folders of the box, and as good as any there."""
    numbers = range(3, Slot.ROOT + 1)
    found = [number for number in numbers if refused(f"/proc/self/fd/{number}", pass_fds=[outside])]
    assert Slot.PASSED in found


def test_a_second_command_is_led_out_as_little(outside: int) -> None:
    with BoxSpec().start() as box:
        for number in range(3, Slot.ROOT + 1, 2):
            with pytest.raises(nsbox.StepError):
                box.run(["true"], cwd=f"/proc/self/fd/{number}", pass_fds=[outside])
