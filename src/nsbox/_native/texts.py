"""Many small files, read in one call."""

import itertools
import os
from collections.abc import Sequence

from nsbox._native.door import ffi, lib


class Texts:
    """Small files that are read together: one call, without the GIL. See openat(2), pread(2).

    The first `kept` of them stay open from the first time on, and what was not there of them then
    is not looked for again; the others are opened each time. Not for two threads at once.
    """

    def __init__(self, paths: Sequence[str], kept: int = 0) -> None:
        self._paths = ffi.from_buffer(b"".join((os.fsencode("\0".join(paths)), b"\0")))
        self._descriptors = ffi.new("int32_t[]", [lib.NSBOX_NOT_OPENED] * len(paths))
        self._lengths = _uncleared("int32_t[]", len(paths))
        self._buffer = _uncleared("char[]", _ROOM + _USUAL * len(paths))
        self._numbers = ffi.new("int64_t[]", 0)
        self._request = ffi.new("struct nsbox_texts *")
        request = self._request
        request.count, request.kept, request.paths = len(paths), kept, self._paths
        request.descriptors, request.lengths = self._descriptors, self._lengths

    def expect(self, forms: Sequence[tuple[bytes, ...]], form_of: Sequence[int]) -> None:
        """Have the numbers of files parsed, too, that have a form in `forms`; the others have -1.

        A form is the keys of a flat keyed file; an empty key is that of a number alone. A file
        whose keys are not these, in this order, has -1 as its first number.
        """
        keys = [b"".join(key + b"\0" for key in form) for form in forms]
        starts = itertools.accumulate(map(len, keys), initial=0)
        rows = [(start, len(form)) for start, form in zip(starts, forms, strict=False)]
        size = sum(len(forms[form]) for form in form_of if form >= 0)
        self._forms = ffi.new("struct nsbox_form[]", rows)
        self._keys = ffi.from_buffer(b"".join(keys))
        self._form = ffi.new("int32_t[]", form_of)
        self._numbers = ffi.new("int64_t[]", size)
        request = self._request
        request.forms, request.keys, request.form = self._forms, self._keys, self._form
        request.numbers = self._numbers

    def read(self) -> tuple[bytes, list[int], bytes]:
        """Read all: the texts one behind the other, the length of each or its -errno, the numbers.

        The numbers are those of the files that have a form, as 64-bit words.
        """
        while (size := lib.nsbox_read_texts(self._request, self._buffer, len(self._buffer))) < 0:
            self._buffer = _uncleared("char[]", 2 * len(self._buffer))
        lengths: list[int] = ffi.unpack(self._lengths, self._request.count)
        return ffi.unpack(self._buffer, size), lengths, bytes(ffi.buffer(self._numbers))

    def close(self) -> None:
        """Close what is kept open."""
        lib.nsbox_close_texts(self._request)


_ROOM, _USUAL = 8192, 128
"""Bytes: what a read is given at least, and more than most of these files hold."""

_uncleared = ffi.new_allocator(should_clear_after_alloc=False)
