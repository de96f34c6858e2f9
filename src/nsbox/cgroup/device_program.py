"""Rules for devices as an eBPF program, which is how cgroup v2 knows them.

See cgroup-v2.rst, "Device controller"; bpf(2); the kernel's include/uapi/linux/bpf.h for
`struct bpf_cgroup_dev_ctx` and instruction-set.rst for the encoding. A group's program is asked at
each mknod(2) and open(2) of a device, and answers 1 to let it pass, 0 to refuse.
"""

import struct
from collections.abc import Iterable
from typing import Literal

from nsbox.cgroup.resources import DeviceRule

# Registers, and the operations used: instruction-set.rst.
_R0, _R1, _R2, _R3, _R4, _R5 = range(6)
_LDX_W, _MOV_K, _MOV_X, _AND_K, _RSH_K = 0x61, 0xB7, 0xBF, 0x57, 0x77
_JNE_K, _EXIT = 0x55, 0x95

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_ALL = 7


def program(rules: Iterable[DeviceRule]) -> bytes:
    """Return the instructions that let pass what a rule allows, and refuse all else.

    The first rule that covers the whole access decides. Rules for the same devices are one, as in
    v1's lists: reading by one and writing by the other make reading and writing.
    """
    code = [
        # r2 = type, r3 = access: the low and the high half of access_type.
        _instruction(_LDX_W, _R2, _R1, 0),
        _instruction(_MOV_X, _R3, _R2),
        _instruction(_AND_K, _R2, immediate=0xFFFF),
        _instruction(_RSH_K, _R3, immediate=16),
        _instruction(_LDX_W, _R4, _R1, 4),  # r4 = major
        _instruction(_LDX_W, _R5, _R1, 8),  # r5 = minor
    ]
    for rule in _merged(rules):
        code += _rule(rule)
        if rule == DeviceRule("a"):  # the verifier takes no program with parts that are never run
            return b"".join(code)
    code += [_instruction(_MOV_K, _R0, immediate=0), _instruction(_EXIT)]
    return b"".join(code)


def _merged(rules: Iterable[DeviceRule]) -> list[DeviceRule]:
    access: dict[tuple[Literal["a", "b", "c"], int | None, int | None], str] = {}
    for rule in rules:
        devices = rule.type, rule.major, rule.minor
        access[devices] = access.get(devices, "") + rule.access
    return [DeviceRule(*devices, letters) for devices, letters in access.items()]


def _rule(rule: DeviceRule) -> list[bytes]:
    """Skip to the next rule where one of the conditions fails, else let pass."""
    conditions: list[list[tuple[int, int, int]]] = []
    if rule.type != "a":
        conditions.append([(_JNE_K, _R2, _TYPES[rule.type])])
    allowed = sum(_ACCESS[letter] for letter in rule.access)
    if allowed != _ALL:
        # r1 is free by now: the letters asked for that the rule has not.
        conditions.append([(_MOV_X, _R1, _R3), (_AND_K, _R1, _ALL & ~allowed), (_JNE_K, _R1, 0)])
    if rule.major is not None:
        conditions.append([(_JNE_K, _R4, rule.major)])
    if rule.minor is not None:
        conditions.append([(_JNE_K, _R5, rule.minor)])
    flat = [operation for condition in conditions for operation in condition]
    code = []
    for place, (operation, register, operand) in enumerate(flat):
        if operation == _JNE_K:
            beyond = len(flat) - place - 1 + 2  # the rest of the conditions, then "return 1"
            code.append(_instruction(operation, register, offset=beyond, immediate=operand))
        elif operation == _MOV_X:
            code.append(_instruction(operation, register, operand))
        else:
            code.append(_instruction(operation, register, immediate=operand))
    return [*code, _instruction(_MOV_K, _R0, immediate=1), _instruction(_EXIT)]


def _instruction(
    operation: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    return struct.pack("=BBhi", operation, source << 4 | destination, offset, immediate)
