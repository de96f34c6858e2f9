"""The picture of a tree of groups, made from looks at groups that never were."""

import itertools
import xml.dom.minidom

from hypothesis import given
from hypothesis import strategies as st

from nsbox.display.gauges import Gauge
from nsbox.display.pictures import picture
from nsbox.display.trees import Look, text

TREES = {"/sys/fs/cgroup/memory": "v1: memory", "/sys/fs/cgroup/unified": "v2: no controllers"}


def look(name, below=(), **given):
    known = {
        "name": name,
        "path": f"/{name}",
        "trees": tuple(TREES),
        "gauges": (Gauge("memory", "1.0 MiB of 2.0 MiB", 0.5), Gauge("cpu", "0.10 s")),
        "frozen": False,
        "tasks": ((7, "sh"),),
        "more_tasks": 0,
        "more_groups": 0,
    }
    return Look(below=tuple(below), **{**known, **given})


LOOKS = st.recursive(
    st.builds(look, st.text(max_size=40), more_tasks=st.integers(0, 3), frozen=st.booleans()),
    lambda below: st.builds(look, st.text(), st.lists(below, max_size=4)),
    max_leaves=12,
)


def drawn(group, *, alone=True):
    return xml.dom.minidom.parseString(picture(group, TREES, alone=alone)).documentElement


def boxes(svg, kind):
    return [
        tuple(float(rect.getAttribute(side)) for side in ("x", "y", "width", "height"))
        for rect in svg.getElementsByTagName("rect")
        if rect.getAttribute("class") == kind
    ]


def size(group):
    return 1 + sum(map(size, group.below))


@given(LOOKS)
def test_every_group_has_a_card_within_the_picture(group):
    svg = drawn(group)
    cards = boxes(svg, "card")
    assert len(cards) == size(group)
    width, height = (float(svg.getAttribute(side)) for side in ("width", "height"))
    for x, y, w, h in cards:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


@given(LOOKS)
def test_no_two_cards_lie_over_each_other(group):
    for one, other in itertools.combinations(boxes(drawn(group), "card"), 2):
        apart = any(
            one[side] + one[side + 2] <= other[side] or other[side] + other[side + 2] <= one[side]
            for side in (0, 1)
        )
        assert apart


def test_a_limit_that_is_nearly_met_stands_out():
    svg = drawn(look("a", gauges=(Gauge("pids", "4 of 4", 1.0), Gauge("memory", "1 of 2", 0.5))))
    (limit, _) = boxes(svg, "limit")
    assert boxes(svg, "full") == [limit]
    assert [round(used[2] / limit[2], 3) for used in boxes(svg, "used")] == [0.5]


def test_frozen_tasks_look_frozen():
    assert boxes(drawn(look("a", frozen=True)), "frozen")
    assert not boxes(drawn(look("a")), "frozen")


def test_names_are_text_whatever_they_are():
    assert "<b>" not in picture(look("<b>", tasks=((1, "<b>"),)), TREES, alone=True)


def test_a_picture_alone_has_a_paper_of_its_own_and_one_in_a_page_has_not():
    assert boxes(drawn(look("a")), "paper")
    assert not boxes(drawn(look("a"), alone=False), "paper")


def test_a_terminal_gets_the_same_in_lines():
    tree = look("top", [look("one", more_tasks=2), look("t\x1bwo", tasks=())], tasks=())
    assert text(tree) == (
        "top   memory 1.0 MiB of 2.0 MiB   cpu 0.10 s\n"
        "├── one   memory 1.0 MiB of 2.0 MiB   cpu 0.10 s\n"
        "│   ├─ 7 sh\n"
        "│   └─ … 2 more\n"
        "└── t?wo   memory 1.0 MiB of 2.0 MiB   cpu 0.10 s"
    )
