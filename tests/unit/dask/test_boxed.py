"""A boxed function is a value: it travels, and nonsense in it is refused before it does."""

import pickle

import attrs
import pytest

pytest.importorskip("distributed", reason="needs the extra nsbox[dask]")

from nsbox import BoxSpec, Resources
from nsbox.dask import Boxed, LayoutSpec, boxed
from nsbox.dask.report import event, parse
from nsbox.usage import Usage

DIGEST = "sha256:" + "0" * 64


class Wire:
    hosts = resolv = None

    def connect(self, name=None):
        raise AssertionError(name)


def test_it_is_a_value_and_bears_the_name_of_its_function():
    wish = boxed(max, BoxSpec(hostname="a"), timeout=5, preload=["json"])
    assert isinstance(wish, Boxed)
    assert pickle.loads(pickle.dumps(wish)) == wish
    assert wish.__name__ == "max"
    assert wish.settings["preload"] == ("json",)
    assert hash(wish) == hash(boxed(max, BoxSpec(hostname="a"), timeout=5, preload=["json"]))


def test_it_is_a_decorator_too():
    assert boxed(timeout=5)(max) == boxed(max, timeout=5)


@pytest.mark.parametrize("settings", [{"stdout": 1}, {"no_such": 1}, {"cgroup": None}])
def test_what_does_not_travel_is_no_parameter(settings):
    with pytest.raises(TypeError, match="no such parameter"):
        boxed(max, **settings)


@pytest.mark.parametrize("settings", [{"timeout": -1}, {"isolation": "x"}, {"memory_max": "much"}])
def test_nonsense_is_refused_where_it_is_written(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        boxed(max, **settings)


def test_a_bridge_does_not_travel():
    with pytest.raises(ValueError, match=r"^spec: a bridge"):
        boxed(max, BoxSpec(link=Wire()))
    with pytest.raises(ValueError, match=r"^function: "):
        boxed(3)


def test_an_image_is_named_by_its_digest():
    wish = LayoutSpec("/images/app", DIGEST, store="/store", fields={"hostname": "a"})
    assert pickle.loads(pickle.dumps(wish)) == wish
    assert boxed(max, wish).spec == wish
    with pytest.raises(ValueError, match=r"^digest: "):
        LayoutSpec("/images/app", "latest", store="/store")


def test_a_report_tells_limits_and_usage_as_they_were():
    usage = Usage(1.0, 0.5, 0.25, 1 << 20)
    spec = BoxSpec(resources=Resources(memory_max="64M", cpu_max=0.5))
    told = event(spec, {"timeout": 9}, usage, ValueError("x"))
    (report,) = parse([(0.0, {"key": "a", "worker": "tcp://w", **told})])
    assert report.usage == usage
    assert report.error == "ValueError"
    assert report.limits["memory_max"] == 64 << 20
    assert report.limits["timeout"] == 9
    assert "pids_max" not in report.limits
    assert attrs.evolve(report, error=None).error is None
