"""Which file tells whether a group is stopped, on each kind of host."""

import pytest

from nsbox._native.operations import Operation
from nsbox.cgroup import lower, stopping
from nsbox.cgroup.hierarchy import Hierarchy
from nsbox.errors import UnsupportedError

UNIFIED, FREEZER, PIDS = (
    Hierarchy(version, "/", frozenset(subsystems))
    for version, subsystems in ((2, []), (1, ["freezer"]), (1, ["pids"]))
)


@pytest.fixture
def folders(tmp_path):
    """Make a group in each hierarchy that is named, and on v2 with the file that stops it."""

    def make(*hierarchies, stops=True):
        made = {}
        for number, one in enumerate(hierarchies):
            folder = tmp_path / str(number)
            folder.mkdir()
            if one is UNIFIED and stops:
                (folder / "cgroup.freeze").write_text("0\n")
            made[one] = str(folder)
        return made

    return make


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def test_on_v2_the_events_tell(folders):
    made = folders(FREEZER, UNIFIED)
    assert stopping.telling(made) == (f"{made[UNIFIED]}/cgroup.events", "frozen 1")
    assert not stopping.is_frozen(made)
    for frozen in (0, 1):
        write(f"{made[UNIFIED]}/cgroup.events", f"populated 1\nfrozen {frozen}\n")
        assert stopping.is_frozen(made) is bool(frozen)


def test_where_v2_cannot_stop_it_the_freezer_tells(folders):
    made = folders(UNIFIED, PIDS, FREEZER, stops=False)
    assert stopping.telling(made) == (f"{made[FREEZER]}/freezer.state", "FROZEN")
    for state in ("THAWED", "FREEZING", "FROZEN"):
        write(f"{made[FREEZER]}/freezer.state", f"{state}\n")
        assert stopping.is_frozen(made) is (state == "FROZEN")


def test_whoever_joins_groups_asks_that_file(folders):
    made = folders(UNIFIED)
    (step,) = lower.thawed(lower.join(made))
    assert step.operation is Operation.THAWED
    assert step.arguments == stopping.telling(made)


def test_where_nothing_could_stop_it_nothing_is_asked(folders):
    made = folders(PIDS)
    with pytest.raises(UnsupportedError):
        stopping.telling(made)
    assert not [*lower.thawed(lower.join(made))]
    assert not [*lower.thawed(lower.join({}))]
