"""Who is who in a user namespace, as a value."""

import pytest

from nsbox import IDMap


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 0)],
        [5],
        [(0, 100000, 0)],
        [(0, 100000, -1)],
        [(-1, 100000, 1)],
        [(0, 100000, True)],
        [("0", 100000, 1)],
        [(0, 2**32 - 2, 2)],
        [(0, 100000, 10), (9, 200000, 10)],
        [(0, 100000, 10), (10, 100009, 10)],
        [(n, 100000 + n, 1) for n in range(341)],
        [(1, 100000, 10)],
        [],
    ],
    ids=lambda ranges: str(ranges)[:30],
)
def test_ranges_that_no_kernel_would_take_are_refused(ranges):
    with pytest.raises(ValueError, match=r"^(uids|gids|uid|gid|ranges): "):
        IDMap.ranges(ranges, [(0, 100000, 10)])


def test_an_id_map_writes_one_line_for_each_kind():
    assert IDMap().lines(1000, 100) == ("0 1000 1", "0 100 1")
    assert IDMap.root() == IDMap(0, gid=0)
    assert IDMap.same().lines(1000, 100) == ("1000 1000 1", "100 100 1")
    assert IDMap(7, gid=None).lines(1000, 100) == ("7 1000 1", "100 100 1")
