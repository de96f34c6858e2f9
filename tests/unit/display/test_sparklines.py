"""Sparklines, of whatever figures."""

import re
import xml.dom.minidom

from hypothesis import given
from hypothesis import strategies as st

from nsbox.display.sparklines import HEIGHT, WIDTH, sparkline
from nsbox.display.watching import Curve, chart, curves
from nsbox.watching import Sample

VALUES = st.lists(st.floats(0, 1e12), max_size=30)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def paths(markup):
    found = xml.dom.minidom.parseString(str(markup)).getElementsByTagName("path")
    return {one.getAttribute("class"): one.getAttribute("d") for one in found}


@given(VALUES, st.none() | st.floats(0, 1e12))
def test_a_line_stays_within_its_picture(values, limit):
    drawn = paths(sparkline(list(enumerate(values)), seconds=10, limit=limit))
    for name in ("line", "area"):
        places = [float(number) for number in NUMBER.findall(drawn.get(name, ""))]
        assert all(-0.1 <= x <= WIDTH + 0.1 for x in places[::2])
        assert all(-0.1 <= y <= HEIGHT + 0.1 for y in places[1::2])


def test_the_latest_figure_is_at_the_right_edge_and_the_largest_on_top():
    line = paths(sparkline([(0, 0), (5, 4), (10, 2)], seconds=10))["line"]
    assert line == f"M0.0 {HEIGHT}.0L{WIDTH / 2} 3.0L{WIDTH}.0 21.5"


def test_a_limit_is_shown_where_it_is_near():
    assert "most" in paths(sparkline([(0, 1), (1, 3)], seconds=9, limit=4))
    assert "most" not in paths(sparkline([(0, 1), (1, 3)], seconds=9, limit=400))


def test_cpu_time_becomes_cpus_in_use():
    samples = [Sample(time=time, cpu_seconds=used) for time, used in ((0, 1), (2, 2), (4, 6))]
    (cpu,) = curves(samples)
    assert cpu.points == ((2, 0.5), (4, 2.0))
    assert cpu.text == "2.00 CPUs"


def test_what_is_not_counted_is_not_drawn():
    assert list(curves([])) == []
    assert [one.name for one in curves([Sample(time=0, pids=3, pids_max=9)])] == ["tasks"]


@given(st.text(), VALUES)
def test_a_chart_is_well_formed_whatever_it_is_named(name, values):
    curve = Curve(name=name, text=name, points=tuple(enumerate(values)))
    for alone in (True, False):
        drawn = chart([curve], seconds=60, name=name, alone=alone)
        assert xml.dom.minidom.parseString(str(drawn)).documentElement.tagName == "svg"
