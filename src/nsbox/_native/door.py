"""The one door to C: the only file that imports what cffi has made of it."""

import os

try:
    from nsbox._native._shim import ffi, lib
except ImportError as error:
    if "subinterpreters" not in str(error):
        raise
    raise ImportError(
        "nsbox cannot be used in a subinterpreter that has a GIL of its own, for cffi cannot; in "
        "one that shares the GIL it can"
    ) from error

__all__ = ["answer", "ffi", "lib"]


def answer(result: int, path: bytes | None = None) -> int:
    """Turn -errno into `OSError`."""
    if result < 0:
        name = None if path is None else os.fsdecode(path)
        raise OSError(-result, os.strerror(-result), name)
    return result
