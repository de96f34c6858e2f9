"""How far clocks are off, as a value, and as the kernel reads it."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import ISOLATED, BoxSpec, Choice, Namespace, NamespaceType, TimeOffsets
from nsbox._native.operations import Operation
from nsbox.namespace.offsets import MAX_OFFSET

TIME = NamespaceType.TIME
offsets = st.integers(1 - MAX_OFFSET, MAX_OFFSET - 1) | st.floats(-1e9, 1e9)
NONSENSE = ("1", None, True, math.nan, math.inf, -math.inf, MAX_OFFSET, -MAX_OFFSET, 1e12, 1j)


@given(st.builds(TimeOffsets, monotonic=offsets, boottime=offsets))
def test_what_is_written_is_what_was_said_to_the_nanosecond(said):
    assert pickle.loads(pickle.dumps(said)) == said
    assert TimeOffsets(monotonic=said.monotonic, boottime=said.boottime) == said
    written = {
        line[0]: (int(line[1]), int(line[2]))
        for step in said.making_steps()
        if step.operation is Operation.WRITE
        for line in map(str.split, step.arguments[1].decode().splitlines())
    }
    for clock in ("monotonic", "boottime"):
        seconds, nanoseconds = written.get(clock, (0, 0))
        assert 0 <= nanoseconds < 10**9
        assert (seconds * 10**9 + nanoseconds) / 10**9 == getattr(said, clock)
    assert set(written) == {clock for clock in ("monotonic", "boottime") if getattr(said, clock)}


@pytest.mark.parametrize("clock", ["monotonic", "boottime"])
def test_nonsense_is_refused_by_the_name_of_its_clock(clock):
    for nonsense in NONSENSE:
        with pytest.raises(ValueError, match=f"^{clock}: "):
            TimeOffsets(**{clock: nonsense})
        with pytest.raises(ValueError, match=f"^{clock}: "):
            Namespace.create(TIME, **{clock: nonsense})


def test_what_is_less_than_a_nanosecond_is_nothing():
    assert TimeOffsets(monotonic=1e-10) == TimeOffsets()
    assert not TimeOffsets(boottime=-1e-10).parts


def test_clocks_bring_a_time_namespace_of_the_box():
    spec = BoxSpec(time_offsets=TimeOffsets(boottime=5))
    assert spec.namespaces == ISOLATED
    assert spec.choices == ISOLATED | {TIME: Choice.NEW}
    assert "time_offsets=TimeOffsets(monotonic=0, boottime=5)" in repr(spec)
    assert "TimeOffsets" in spec._repr_html_()
    assert BoxSpec(time_offsets=TimeOffsets()) == BoxSpec()


@pytest.mark.parametrize(
    "fields",
    [
        {"time_offsets": 5},
        {"time_offsets": None},
        {"time_offsets": {"boottime": 5}},
        {"namespaces": ISOLATED | {TIME: Choice.HOST}},
        {"namespaces": ISOLATED | {TIME: "/proc/self/ns/time"}},
        {"init": False},
    ],
    ids=str,
)
def test_clocks_that_a_box_cannot_have_are_refused_by_the_name_of_the_field(fields):
    with pytest.raises(ValueError, match=r"^time_offsets: "):
        BoxSpec(**{"time_offsets": TimeOffsets(boottime=5), **fields})
