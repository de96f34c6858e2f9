"""What an image says about running it: read, written, refused."""

import json
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import ImageError
from nsbox.image import Config, Limits

WORDS = st.lists(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), max_size=3
)
NAMES = st.text(st.characters(exclude_characters="\0=", codec="utf-8"), min_size=1, max_size=9)

configs = st.builds(
    Config,
    entrypoint=WORDS,
    cmd=WORDS,
    env=st.dictionaries(NAMES, st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    user=st.sampled_from(["", "user", "0:0"]),
    workdir=st.sampled_from(["", "/srv"]),
    ports=st.sampled_from([[], ["443/tcp", "80/tcp"]]),
    volumes=st.sampled_from([[], ["/data", "/tmp"]]),
    labels=st.dictionaries(NAMES, NAMES),
    stop_signal=st.sampled_from(["", "SIGINT"]),
    created=st.sampled_from([None, "2020-01-01T00:00:00Z"]),
)


@given(configs)
def test_a_configuration_is_read_back_as_it_was_written(config):
    document = json.loads(json.dumps(config.to_json()))
    assert Config.from_json(document) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(attrs.evolve(config)) == hash(config)


def test_what_a_base_has_besides_is_kept():
    base = {
        "config": {"Healthcheck": {"Test": ["NONE"]}, "Cmd": ["old"], "User": "old"},
        "docker_version": "1.0",
        "rootfs": {"diff_ids": []},
    }
    document = Config(cmd=["new"]).to_json(base)
    assert document["config"] == {"Healthcheck": {"Test": ["NONE"]}, "Cmd": ["new"]}
    assert document["docker_version"] == "1.0"
    assert "rootfs" not in document


def test_docker_s_nulls_are_nothing():
    found = Config.from_json(
        {
            "architecture": "arm64",
            "os": "linux",
            "config": {"Cmd": None, "Env": None, "Labels": None},
        }
    )
    assert found == Config(architecture="arm64")
    assert Config.from_json({"architecture": "arm64", "config": None}) == found


@pytest.mark.parametrize(
    "inner",
    [
        {"Cmd": "sh -c true"},
        {"Cmd": [1]},
        {"Cmd": {"a": 1}, "Entrypoint": 5},
        {"Env": 5},
        {"Env": [5]},
        {"Labels": {"a": 5}},
        {"User": 5},
        {"Volumes": 5},
        {"ExposedPorts": [[]]},
        [5],
    ],
)
def test_a_broken_configuration_is_an_image_s_fault(inner):
    with pytest.raises(ImageError, match="configuration"):
        Config.from_json({"config": inner})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cmd", "sh"),
        ("cmd", ["a\0b"]),
        ("cmd", 5),
        ("entrypoint", [b"sh"]),
        ("env", {"": "x"}),
        ("env", {"A=": "x"}),
        ("env", {"A": 1}),
        ("env", ["A=b"]),
        ("labels", {1: "x"}),
        ("user", 0),
        ("workdir", None),
        ("ports", "80"),
        ("volumes", "/data"),
    ],
)
def test_nonsense_is_refused_by_its_field(field, value):
    with pytest.raises(ValueError, match=f"^{field}:"):
        Config(**{field: value})


def test_the_command_is_the_entrypoint_and_its_arguments():
    assert Config(entrypoint=["a"], cmd=["b", "c"]).args == ("a", "b", "c")


@pytest.mark.parametrize("limits", [{"entries": 0}, {"entries": "5"}, {"size": 0}, {"size": "x"}])
def test_limits_that_are_none_are_refused(limits):
    (field,) = limits
    with pytest.raises(ValueError, match=f"^{field}:"):
        Limits(**limits)


def test_a_size_is_written_as_people_write_it():
    assert Limits(size="16G").size == 16 << 30
