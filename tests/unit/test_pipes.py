"""Standard input, output and error, with real pipes."""

import io
import os
import subprocess
import tempfile
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.pipes import DEVNULL, PIPE, STDOUT, Ends, Exchange, Text


def reading(data, text=None):
    """Our end of a pipe that already has all of its data in it."""
    ours, theirs = os.pipe()
    os.write(theirs, data)
    os.close(theirs)
    binary = open(ours, "rb")  # noqa: SIM115
    return binary if text is None else io.TextIOWrapper(binary, *text)


def cat(chunk=1 << 16):
    """A thread that copies what is written to the one pipe into the other; returns our ends."""
    their_in, our_in = os.pipe()
    our_out, their_out = os.pipe()

    def copy():
        while data := os.read(their_in, chunk):
            os.write(their_out, data)
        os.close(their_in)
        os.close(their_out)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return open(our_in, "wb"), open(our_out, "rb"), thread


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1 << 20])
def test_more_than_a_pipe_holds_is_written_and_read_at_once(size):
    stdin, stdout, thread = cat()
    data = os.urandom(size)
    exchange = Exchange(stdin, [stdout], data)
    assert exchange.run(None)
    assert exchange.output(stdout) == data
    assert stdin.closed
    assert stdout.closed
    thread.join()


def test_partial_writes_are_gone_on_with():
    stdin, stdout, thread = cat(chunk=1000)
    data = bytes(range(256)) * 1000
    exchange = Exchange(stdin, [stdout], data)
    assert exchange.run(time.monotonic() + 60)
    assert exchange.output(stdout) == data
    thread.join()


def test_an_exchange_whose_time_is_over_is_gone_on_with():
    their_in, our_in = os.pipe()
    our_out, their_out = os.pipe()
    stdin, stdout = open(our_in, "wb"), open(our_out, "rb")  # noqa: SIM115
    data = os.urandom(300_000)
    os.write(their_out, b"early")
    exchange = Exchange(stdin, [stdout], data)
    while not exchange.so_far(stdout):  # it looks at the time before it reads
        assert not exchange.run(time.monotonic() + 0.05)
    assert exchange.so_far(stdout) == b"early"
    assert not exchange.run(time.monotonic() - 1)
    received = bytearray()

    def take():
        while chunk := os.read(their_in, 1 << 16):
            received.extend(chunk)
        os.write(their_out, b" and late")
        os.close(their_in)
        os.close(their_out)

    thread = threading.Thread(target=take)
    thread.start()
    assert exchange.run(None)
    thread.join()
    assert bytes(received) == data
    assert exchange.output(stdout) == b"early and late"


def test_who_does_not_want_the_rest_is_no_error():
    their_in, our_in = os.pipe()
    os.close(their_in)
    stdin, stdout = open(our_in, "wb"), reading(b"enough")  # noqa: SIM115
    exchange = Exchange(stdin, [stdout], b"x" * 1_000_000)
    assert exchange.run(None)
    assert exchange.output(stdout) == b"enough"
    assert stdin.closed


def test_what_was_written_before_comes_before():
    stdin, stdout, thread = cat()
    stdin.write(b"first ")
    exchange = Exchange(stdin, [stdout], b"second")
    assert exchange.run(None)
    assert exchange.output(stdout) == b"first second"
    thread.join()


@pytest.mark.parametrize("data", [None, b"", ""])
def test_without_input_the_pipe_is_closed_at_once(data):
    stdin, stdout, thread = cat()
    exchange = Exchange(stdin, [stdout], data)
    assert stdin.closed
    assert exchange.run(None)
    assert exchange.output(stdout) == b""
    thread.join()


def test_output_and_error_are_kept_apart():
    stdout, stderr = reading(b"out"), reading(b"err")
    exchange = Exchange(None, [stdout, stderr], None)
    assert exchange.run(None)
    assert (exchange.output(stdout), exchange.output(stderr)) == (b"out", b"err")
    assert exchange.output(None) is None
    assert exchange.so_far(None) is None


def test_what_the_caller_has_closed_is_left_alone():
    stdout, stderr = reading(b"out"), reading(b"err")
    stderr.close()
    exchange = Exchange(None, [stdout, stderr], None)
    assert exchange.run(None)
    assert (exchange.output(stdout), exchange.output(stderr)) == (b"out", b"")


def test_input_without_a_pipe_goes_nowhere_as_with_subprocess():
    for data in (b"bytes", "text"):
        stdout = reading(b"out")
        exchange = Exchange(None, [stdout], data)
        assert exchange.run(None)
        assert exchange.output(stdout) == b"out"


@pytest.mark.parametrize(
    "data", [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"abc").cast("c")]
)
def test_any_buffer_is_input(data):
    stdin, stdout, thread = cat()
    exchange = Exchange(stdin, [stdout], data)
    assert exchange.run(None)
    assert exchange.output(stdout) == b"abc"
    thread.join()


@pytest.mark.parametrize(("text", "data"), [(True, b"bytes"), (False, "text"), (False, 5)])
def test_input_of_the_wrong_kind_is_refused(text, data):
    their_in, our_in = os.pipe()
    os.close(their_in)
    with open(our_in, "wb") as binary:
        stdin = io.TextIOWrapper(binary, "utf-8") if text else binary
        with pytest.raises(TypeError):
            Exchange(stdin, [], data)


@pytest.mark.parametrize(
    ("data", "text", "expected"),
    [
        (b"a\r\nb\rc\nd", ("utf-8",), "a\nb\nc\nd"),
        ("é€".encode(), ("utf-8",), "é€"),
        ("é".encode("latin-1"), ("latin-1",), "é"),
        (b"\xff.", ("utf-8", "replace"), "\ufffd."),
        (b"\xff.", ("utf-8", "surrogateescape"), "\udcff."),
        ("é\r\n".encode("utf-16"), ("utf-16",), "é\n"),
    ],
)
def test_text_is_decoded_as_a_text_file_is(data, text, expected):
    stdout = reading(data, text)
    exchange = Exchange(None, [stdout], None)
    assert exchange.run(None)
    assert exchange.output(stdout) == expected
    assert exchange.so_far(stdout) == data


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_text_is_decoded_as_subprocess_decodes_it(text):
    data = text.encode()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with io.TextIOWrapper(io.BytesIO(data), "utf-8") as expected:
            stdout = reading(data, ("utf-8",))
            exchange = Exchange(None, [stdout], None)
            assert exchange.run(None)
            assert exchange.output(stdout) == expected.read()


def test_bytes_that_are_no_text_are_told_after_all_is_read():
    stdout = reading(b"\xff", ("utf-8",))
    exchange = Exchange(None, [stdout], None)
    assert exchange.run(None)
    with pytest.raises(UnicodeDecodeError):
        exchange.output(stdout)
    assert exchange.so_far(stdout) == b"\xff"


def test_text_is_encoded_as_the_pipe_says():
    stdin, stdout, thread = cat()
    exchange = Exchange(io.TextIOWrapper(stdin, "latin-1", "replace"), [stdout], "é€\n")
    assert exchange.run(None)
    assert exchange.output(stdout) == b"\xe9?\n"
    thread.join()


@pytest.mark.parametrize("text", [("no-such-encoding",), ("rot13",), ("utf-8", "no-such-handler")])
def test_a_way_to_read_text_that_there_is_not_is_refused_before_anything_starts(text):
    with pytest.raises(LookupError):
        Text(*text)


def test_the_names_are_those_of_subprocess():
    assert (PIPE, STDOUT, DEVNULL) == (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL)


def test_pipes_are_opened_for_each_side_and_what_was_not_taken_is_closed():
    with Ends(PIPE, PIPE, PIPE) as ends:
        assert len(set(ends.child + ends.ours)) == 6
        assert not any(map(os.get_inheritable, ends.child + ends.ours))
        for written, read in [(ends.ours[0], ends.child[0]), (ends.child[1], ends.ours[1])]:
            os.write(written, b"through")
            assert os.read(read, 100) == b"through"
        everything = [*ends.child, *ends.ours]
    for fd in everything:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_what_was_taken_is_ours():
    with Ends(PIPE, PIPE, None) as ends:
        child = list(ends.child)
        stdin, stdout, stderr = ends.take(Text("utf-8"))
    assert stderr is None
    with stdin, stdout:
        assert (stdin.encoding, stdout.encoding) == ("utf-8", "utf-8")
        assert stdin.write_through
        for fd in child[:2]:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)


def test_errors_can_go_where_output_goes():
    with Ends(DEVNULL, PIPE, STDOUT) as ends:
        assert ends.child[2] == ends.child[1]
        assert ends.ours == [-1, ends.ours[1], -1]


def test_descriptors_and_files_are_passed_on_and_left_open(tmp_path):
    with open(tmp_path / "log", "wb") as file:
        with Ends(None, file.fileno(), file) as ends:
            assert ends.child[1:] == [file.fileno()] * 2
        os.fstat(file.fileno())


@pytest.mark.parametrize("streams", [(None, STDOUT, None), (STDOUT, None, None), (-7, None, None)])
def test_a_number_that_is_no_descriptor_is_refused_and_nothing_stays_open(streams):
    with pytest.raises(ValueError, match="a descriptor, PIPE, DEVNULL or STDOUT"), Ends(*streams):
        pass


def test_what_is_no_stream_is_refused_and_nothing_stays_open():
    with pytest.raises(AttributeError), Ends(PIPE, PIPE, object()):
        pass
