"""A file of a group is written to in one call."""

import os
import signal

import pytest

from nsbox.cgroup import files


def test_a_signal_while_it_is_written_is_handled_and_the_write_goes_on(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    readers = []

    def read(*_: object) -> None:  # until then it waits to be opened
        readers.append(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))

    before = signal.signal(signal.SIGALRM, read)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        files.write(str(pipe), "max")
        assert os.read(readers[0], 10) == b"max"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        for reader in readers:
            os.close(reader)


def test_what_is_not_there_is_named_and_not_made(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        files.write(str(tmp_path / "none"), "1")
    assert caught.value.filename == str(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
