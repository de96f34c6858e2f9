"""Standard input, output and error between a caller and a box."""

import codecs
import contextlib
import fcntl
import io
import locale
import os
import selectors
import subprocess
import time
from typing import IO, Any, Protocol

import attrs

from nsbox._native import ALL_INHERITED

PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
CHUNK = 1 << 16

StrOrBytesPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def above_standard(fd: int) -> int:
    """Give a descriptor that is kept a number that no caller gives to its standard streams."""
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


class HasFileno(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


Stream = int | HasFileno | None


@attrs.frozen
class Text:
    """How the bytes of a pipe are read as text; see `io.TextIOWrapper`.

    Raises `LookupError` for an encoding or an error handler that there is not: here, because the
    pipes are only made into files once the box runs.
    """

    encoding: str | None = None
    errors: str | None = None

    def __attrs_post_init__(self) -> None:
        io.TextIOWrapper(io.BytesIO(), encoding=self.encoding).close()
        codecs.lookup_error(self.errors or "strict")


class Ends:
    """The descriptors of a launch: those that the child gets, and ours of each pipe.

    Opens what the three streams ask for; what was not taken is closed at the end of the block.
    """

    def __init__(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        # First, as what is opened here could get the number of one that is closed.
        asked = [stream if stream in _MADE else _descriptor(stream) for stream in (stdin, stdout)]
        if stderr == STDOUT:
            asked.append(_descriptor(1) if stdout is None else STDOUT)
        else:
            asked.append(stderr if stderr in _MADE else _descriptor(stderr))
        self.child = [*ALL_INHERITED]
        self.ours = [-1, -1, -1]
        self._closed_after: list[int] = []
        try:
            for number, descriptor in enumerate(asked):
                if descriptor is not None:
                    self._place(number, descriptor)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "Ends":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take(self, text: Text | None) -> tuple[Any, Any, Any]:
        """Turn our ends into file objects, which own them from now on."""
        files: list[IO[Any] | None] = [None, None, None]
        for number, fd in enumerate(self.ours):
            if fd >= 0:
                self.ours[number] = -1
                files[number] = _file(fd, "wb" if number == 0 else "rb", text)
        return files[0], files[1], files[2]

    def _place(self, number: int, descriptor: int) -> None:
        if descriptor == PIPE:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            descriptor, self.ours[number] = (
                (reading, writing) if number == 0 else (writing, reading)
            )
            self._closed_after.append(descriptor)
        elif descriptor == DEVNULL:
            descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self._closed_after.append(descriptor)
        elif descriptor == STDOUT:
            descriptor = self.child[1]
        self.child[number] = descriptor

    def _close(self) -> None:
        for fd in (*self._closed_after, *self.ours):
            if fd >= 0:
                os.close(fd)


_MADE = (None, PIPE, DEVNULL)
_INHERITED = Ends(None, None, None)


def ends(stdin: Stream, stdout: Stream, stderr: Stream) -> Ends:
    """Open the ends of three streams; most launches leave the command the caller's own."""
    if stdin is stdout is stderr is None:
        return _INHERITED
    return Ends(stdin, stdout, stderr)


def _descriptor(stream: Any) -> int:
    """Return the number of one that is open. Raises `ValueError`, `OSError`."""
    number = int(stream if isinstance(stream, int) else stream.fileno())
    if number < 0:
        raise ValueError(f"a descriptor, PIPE, DEVNULL or STDOUT (stderr only), not {stream!r}")
    os.get_inheritable(number)  # the one look at a descriptor that does not give up the GIL
    return number


def _file(fd: int, mode: str, text: Text | None) -> IO[Any]:
    binary = open(fd, mode)  # noqa: SIM115
    if text is None:
        return binary
    return io.TextIOWrapper(
        binary, encoding=text.encoding, errors=text.errors, write_through=mode == "wb"
    )


def decoded(data: bytes, text: Text) -> str:
    """Read bytes as text with universal newlines, as `io.TextIOWrapper` does."""
    read = data.decode(text.encoding or locale.getencoding(), text.errors or "strict")
    return read.replace("\r\n", "\n").replace("\r", "\n")


def encoded(text: str, kind: Text) -> bytes:
    """Write text as bytes, as `io.TextIOWrapper` does."""
    return text.encode(kind.encoding or locale.getencoding(), kind.errors or "strict")


class Exchange:
    """Input written and output read at once, so that no pipe runs full; can be resumed."""

    def __init__(self, stdin: Any, outputs: list[Any], data: Any) -> None:
        self._stdin = stdin
        self._left = memoryview(_encoded(stdin, data) if data and stdin is not None else b"")
        self._open = [stream for stream in outputs if not stream.closed]
        self._collected = {stream: bytearray() for stream in outputs}
        self._room: float = float("inf")
        if stdin is not None:
            if self._left:
                with contextlib.suppress(BrokenPipeError):
                    stdin.flush()  # what the caller has written so far
                os.set_blocking(stdin.fileno(), False)
            else:
                self._close_stdin()

    @property
    def overfull(self) -> bool:
        """Whether more was read than there was to be."""
        return self._room < 0

    def run(self, deadline: float | None, output_max: int | None = None) -> bool:
        """Go on to the pipes' end; False where the deadline (`time.monotonic`) came first.

        So it is, and `overfull`, where more than `output_max` bytes come, counted from the start.
        """
        read = sum(map(len, self._collected.values()))
        self._room = float("inf") if output_max is None else output_max - read
        if self.overfull:
            return False
        if self._stdin is None and not self._open:
            return True
        with selectors.DefaultSelector() as selector:
            if self._stdin is not None:
                selector.register(self._stdin, selectors.EVENT_WRITE)
            for stream in self._open:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                timeout = None if deadline is None else deadline - time.monotonic()
                if timeout is not None and timeout <= 0:
                    return False
                for key, _ in selector.select(timeout):
                    self._move(selector, key.fileobj)
                if self.overfull:
                    return False
        return True

    def output(self, stream: Any) -> Any:
        """Return what was read from a stream: bytes, or text where the stream is one of text."""
        if stream is None:
            return None
        read = bytes(self._collected[stream])
        if not isinstance(stream, io.TextIOWrapper):
            return read
        return decoded(read, Text(stream.encoding, stream.errors))

    def so_far(self, stream: Any) -> bytes | None:
        """Return what was read from a stream before its end, as bytes."""
        return None if stream is None else bytes(self._collected[stream])

    def _move(self, selector: selectors.BaseSelector, stream: Any) -> None:
        if stream is self._stdin:
            self._write()
            if self._stdin is None:
                selector.unregister(stream)
                _close(stream)
            return
        chunk = os.read(stream.fileno(), CHUNK)
        self._collected[stream] += chunk
        self._room -= len(chunk)
        if not chunk:
            selector.unregister(stream)
            self._open.remove(stream)
            stream.close()

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._stdin.fileno(), self._left[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left = self._left[:0]  # it does not want the rest, as with subprocess
        if not self._left:
            self._stdin = None

    def _close_stdin(self) -> None:
        _close(self._stdin)
        self._stdin = None


def _close(stream: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _encoded(stdin: Any, data: Any) -> bytes:
    if not isinstance(stdin, io.TextIOWrapper):
        return bytes(memoryview(data))
    if not isinstance(data, str):
        raise TypeError(f"input: str, because the pipes are text; not {type(data).__name__}")
    return data.encode(stdin.encoding, stdin.errors or "strict")
