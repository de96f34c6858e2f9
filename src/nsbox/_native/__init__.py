"""What is done in C: launches, reads of many files, system calls. cffi stays in here."""

from nsbox._native.calls import (
    ask,
    capabilities,
    make_beneath,
    open_beneath,
    syscalls,
    write_text,
)
from nsbox._native.launched import (
    ALL_INHERITED,
    DIGITS,
    INHERITED,
    NOT_BEGUN,
    SLOTS,
    TOLD,
    Launched,
    Ready,
    Strings,
    first_process,
    forget_memory,
    launch,
)
from nsbox._native.texts import Texts

__all__ = [
    "ALL_INHERITED",
    "DIGITS",
    "INHERITED",
    "NOT_BEGUN",
    "SLOTS",
    "TOLD",
    "Launched",
    "Ready",
    "Strings",
    "Texts",
    "ask",
    "capabilities",
    "first_process",
    "forget_memory",
    "launch",
    "make_beneath",
    "open_beneath",
    "syscalls",
    "write_text",
]
