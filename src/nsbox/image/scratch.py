"""A file without a name, for what is as large as an image and shall not outlive its user."""

import os
import tempfile
import weakref
from collections.abc import Iterable

from nsbox.image.span import Span


class Scratch:
    """A file that is gone when nobody holds it; written once, read as spans."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        fd, name = tempfile.mkstemp(prefix="nsbox-image-")
        self._finalize = weakref.finalize(self, os.close, fd)
        try:
            os.unlink(name)
            with open(fd, "wb", closefd=False) as file:
                for block in blocks:
                    file.write(block)
                self.size = file.tell()
        except BaseException:
            self.close()
            raise
        self._fd = fd

    @property
    def span(self) -> Span:
        """All of it. To be read while this lives: see proc_pid_fd(5)."""
        return Span(f"/proc/self/fd/{self._fd}", 0, self.size)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process must have open to read the span."""
        return (self._fd,)

    def close(self) -> None:
        """Let go of it."""
        self._finalize()
