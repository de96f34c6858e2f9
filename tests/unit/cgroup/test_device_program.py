"""The eBPF program for devices, run by a small interpreter of the instructions that it may use."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import DeviceRule
from nsbox.cgroup.device_program import program

TYPES = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


def run(code: bytes, kind: str, major: int, minor: int, access: str) -> int:
    """Interpret: see the kernel's instruction-set.rst."""
    asked = sum(ACCESS[letter] for letter in access)
    context = struct.pack("=III", asked << 16 | TYPES[kind], major, minor)
    registers: list[int | None] = [None] * 11
    place = 0
    for _ in range(len(code)):  # the verifier allows no loops, so it ends before
        operation, both, offset, immediate = struct.unpack_from("=BBhi", code, place * 8)
        destination, source = both & 15, both >> 4
        place += 1
        match operation:
            case 0x61:  # r = *(u32 *)(r1 + offset)
                assert source == 1
                assert registers[1] is None, "the context must still be in r1"
                registers[destination] = struct.unpack_from("=I", context, offset)[0]
            case 0xB7:
                registers[destination] = immediate
            case 0xBF:
                assert registers[source] is not None
                registers[destination] = registers[source]
            case 0x57:
                registers[destination] = known(registers[destination]) & immediate
            case 0x77:
                registers[destination] = known(registers[destination]) >> immediate
            case 0x55:
                if known(registers[destination]) != immediate:
                    assert offset >= 0
                    place += offset
            case 0x95:
                return known(registers[0])
            case _:
                raise AssertionError(f"operation {operation:#x}")
    raise AssertionError("no exit")


def known(value: int | None) -> int:
    assert value is not None, "a register is read before it is written"
    return value


def allowed(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    merged: dict[tuple[str, int | None, int | None], set[str]] = {}
    for rule in rules:
        merged.setdefault((rule.type, rule.major, rule.minor), set()).update(rule.access)
    return any(
        t in ("a", kind) and ma in (None, major) and mi in (None, minor) and set(access) <= letters
        for (t, ma, mi), letters in merged.items()
    )


RULES = st.builds(
    DeviceRule,
    st.sampled_from("abc"),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.sets(st.sampled_from("rwm"), min_size=1).map("".join),
)


@given(
    st.lists(RULES, max_size=6),
    st.sampled_from("bc"),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sets(st.sampled_from("rwm"), min_size=1).map("".join),
)
def test_the_program_lets_pass_what_a_rule_allows_and_nothing_else(
    rules, kind, major, minor, access
):
    result = run(program(rules), kind, major, minor, access)
    assert result == int(allowed(rules, kind, major, minor, access))


def test_no_rules_refuse_everything():
    assert run(program(()), "c", 1, 3, "r") == 0


@pytest.mark.parametrize(("access", "result"), [("rw", 1), ("r", 1), ("m", 0), ("rwm", 0)])
def test_dev_null_and_its_letters(access, result):
    assert (
        run(program([DeviceRule("c", 1, 3, "r"), DeviceRule("c", 1, 3, "w")]), "c", 1, 3, access)
        == result
    )


def test_it_is_short_enough_for_any_kernel():
    many = [DeviceRule("c", 1, minor, "r") for minor in range(256)]
    assert len(program(many)) // 8 < 4096  # BPF_MAXINSNS for those without CAP_BPF
