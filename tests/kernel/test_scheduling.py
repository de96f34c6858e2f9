"""How a box stands beside others: its commands have it, its starter does not."""

import os
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec

LOOK = """\
set -- $(sed 's/.*)//' /proc/self/stat)
shift 16; echo nice $1; shift 21; echo priority $1 policy $2
grep Cpus_allowed_list /proc/self/status; cat /proc/self/oom_score_adj /proc/self/personality; ionice
"""
CPU = max(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _the_starter_is_as_it_was() -> Any:
    def look() -> tuple[object, ...]:
        own = (
            Path("/proc/self/oom_score_adj").read_text(),
            Path("/proc/self/personality").read_text(),
        )
        return (
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getaffinity(0),
            os.sched_getscheduler(0),
            own,
        )

    before = look()
    yield
    assert look() == before


SPEC = BoxSpec(
    nice=7,
    scheduler="batch",
    affinity=[CPU],
    io_priority=("best-effort", 6),
    oom_score_adj=321,
    personality=0x0040000,
)
EXPECTED = f"""\
nice 7
priority 0 policy 3
Cpus_allowed_list:	{CPU}
321
00040000
best-effort: prio 6
"""


@pytest.mark.parametrize("fields", [{}, {"init": False}, {"user": 5, "group": 5}], ids=str)
def test_a_command_has_what_the_spec_says(fields: dict[str, Any]) -> None:
    if os.geteuid() != 0 and "user" in fields:
        pytest.skip("needs root")
    spec = BoxSpec(**{name: getattr(SPEC, name) for name in NAMES}, **fields)
    done = nsbox.run(["sh", "-c", LOOK], spec, capture_output=True, text=True)
    assert done.stdout == EXPECTED, done.stderr


NAMES = ("nice", "scheduler", "affinity", "io_priority", "oom_score_adj", "personality")


def test_so_has_a_command_that_joins() -> None:
    with SPEC.start() as box:
        assert box.run(["sh", "-c", LOOK], capture_output=True, text=True).stdout == EXPECTED


def test_real_time_goes_by_the_starters_rights() -> None:
    """A group of v1 may leave root no real time either."""
    spec = BoxSpec(scheduler=("fifo", 3))
    try:
        done = nsbox.run(["sh", "-c", LOOK], spec, capture_output=True, text=True)
    except PermissionError as error:
        refused: Any = error
    else:
        assert "priority 3 policy 1\n" in done.stdout
        return
    assert refused.step.name == "sched_setscheduler"
    assert "CAP_SYS_NICE" in refused.hint


def test_a_box_starts_with_its_starters_own_unless_told() -> None:
    done = nsbox.run(["sh", "-c", LOOK], capture_output=True, text=True)
    assert f"nice {os.getpriority(os.PRIO_PROCESS, 0)}\n" in done.stdout
    assert "00000000\n" in done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        {"nice": 20},
        {"nice": True},
        {"scheduler": "fifo"},
        {"scheduler": ("fifo", 0)},
        {"scheduler": ("idle", 1)},
        {"scheduler": "deadline"},
        {"affinity": []},
        {"affinity": [-1]},
        {"affinity": 3},
        {"io_priority": "best-effort"},
        {"io_priority": ("realtime", 8)},
        {"oom_score_adj": 1001},
        {"personality": 0xFFFFFFFF},
    ],
    ids=str,
)
def test_nonsense_is_a_value_error(wrong: dict[str, Any]) -> None:
    (field,) = wrong
    with pytest.raises(ValueError, match=f"^{field}: "):
        BoxSpec(**wrong)


def test_a_spec_with_all_of_it_is_a_value() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(SPEC)) == SPEC
    assert hash(SPEC) == hash(BoxSpec(**{name: getattr(SPEC, name) for name in NAMES}))
