"""A box that writes without end does not fill its caller's memory."""

import asyncio
import pickle
import resource
import subprocess
from typing import Any

import pytest
from living import LOOK, living

import nsbox
from nsbox import BoxSpec, OutputExceeded

ENDLESS = ["sh", "-c", "echo first; echo y; yes >&2 & exec yes"]


def own_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_a_box_ends_with_its_output() -> None:
    before = own_peak()
    with pytest.raises(OutputExceeded) as caught:
        nsbox.run(ENDLESS, capture_output=True, text=True, output_max="1M", timeout=60)
    assert own_peak() - before < 30 << 20
    error = caught.value
    assert (error.cmd, error.output_max) == (ENDLESS, 1 << 20)
    assert error.stdout is error.output
    assert error.output is not None
    assert error.stderr is not None
    assert error.output.startswith(b"first\ny\n")
    assert {*error.output.split()[1:-1], *error.stderr.split()[:-1]} == {b"y"}
    assert 1 << 20 < len(error.output) + len(error.stderr) < 2 << 20
    assert isinstance(error, subprocess.SubprocessError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_fits_is_given_back() -> None:
    done = nsbox.run(["echo", "12345"], capture_output=True, text=True, output_max=6)
    assert done.stdout == "12345\n"
    with pytest.raises(OutputExceeded):
        nsbox.run(["echo", "123456"], capture_output=True, text=True, output_max=6)


def test_a_command_in_a_box_ends_and_the_box_does_not() -> None:
    with BoxSpec().start() as box:
        with pytest.raises(OutputExceeded):
            box.run(["yes"], capture_output=True, output_max=1000)
        listed = box.run(LOOK, capture_output=True, text=True)
        assert "yes" not in living(listed.stdout)


def test_who_communicates_may_go_on() -> None:
    command = ["sh", "-c", "printf 123456; read line; echo $line"]
    pipes: dict[str, Any] = {"stdin": nsbox.PIPE, "stdout": nsbox.PIPE}
    with nsbox.popen(command, **pipes) as process:
        with pytest.raises(OutputExceeded):
            process.communicate(b"", output_max=5)
        with pytest.raises(OutputExceeded):
            process.communicate(output_max=5)
        assert process.communicate()[0] == b"123456\n"


def test_awaited_it_is_the_same() -> None:
    async def main() -> OutputExceeded:
        with pytest.raises(OutputExceeded) as caught:
            await nsbox.aio.run(ENDLESS, capture_output=True, output_max="100K", timeout=60)
        done = await nsbox.aio.run(["echo", "1"], capture_output=True, output_max=2)
        assert done.stdout == b"1\n"
        return caught.value

    error = asyncio.run(main())
    assert error.output is not None
    assert error.output.startswith(b"first\n")


def test_nonsense_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="output_max"):
        nsbox.run(["true"], output_max="much")
