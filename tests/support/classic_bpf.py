"""A small machine for filters of system calls, and what it takes for a rule's test to hold."""

import struct

OPERATIONS = {0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06}
"""Of what seccomp_check_filter in kernel/seccomp.c takes: what this machine knows."""


def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    """Read a program, and refuse what the kernel refuses: see bpf_check_classic."""
    code = list(struct.iter_unpack("=HBBI", program))
    for place, (operation, if_true, if_false, constant) in enumerate(code, 1):
        assert operation in OPERATIONS, f"no such instruction: {operation:#x}"
        if operation == 0x20:
            assert constant % 4 == 0
            assert constant < 64
        elif operation == 0x05:
            assert place + constant < len(code)
        elif operation & 7 == 5:
            assert place + max(if_true, if_false) < len(code)
    assert code[-1][0] == 0x06, "the last one returns"
    return code


def answer(
    code: list[tuple[int, int, int, int]],
    number: int,
    arguments: tuple[int, ...],
    architecture: int,
) -> int:
    """Run a program on a struct seccomp_data, as the kernel does."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments)
    accumulator, place = 0, 0
    while True:
        operation, if_true, if_false, constant = code[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, constant)
            case 0x54:
                accumulator &= constant
            case 0x05:
                place += constant
            case 0x06:
                return constant
            case _:
                holds = {
                    0x15: accumulator == constant,
                    0x25: accumulator > constant,
                    0x35: accumulator >= constant,
                    0x45: accumulator & constant != 0,
                }[operation]
                place += if_true if holds else if_false


def holds(argument: int, comparison: str, value: int, mask: int) -> bool:
    """Compare as `Argument` says."""
    return {
        "==": argument == value,
        "!=": argument != value,
        ">": argument > value,
        ">=": argument >= value,
        "<": argument < value,
        "<=": argument <= value,
        "&==": argument & mask == value,
    }[comparison]
