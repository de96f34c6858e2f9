"""What Python and C say of the same things, at the one door between them."""

import re
from pathlib import Path

import pytest

from nsbox import _native, template
from nsbox._native import door
from nsbox._native.values import Told
from nsbox.cgroup.account import ending
from nsbox.cgroup.hierarchy import Hierarchy

C = Path(__file__).parents[2] / "src/nsbox/_native"


def test_what_a_box_has_come_to_has_the_same_figures_in_the_same_order():
    told = door.ffi.typeof("struct nsbox_told").fields
    assert [name for name, _ in told] == list(Told._fields)
    assert {field.type.cname for _, field in told} == {"int64_t"}


def test_as_many_descriptors_are_held_at_once():
    assert re.findall(r"\bSLOTS = (\d+)", (C / "page.h").read_text()) == [str(_native.SLOTS)]


def test_a_number_has_as_many_digits_as_its_place():
    numbers = re.findall(r"\bNUMBERS = (\d+)", (C / "launch.c").read_text())
    assert numbers == [str(10**_native.DIGITS)]


def test_what_threads_know_of_mounts_is_at_the_same_places():
    watch = re.search(r"struct watch \{(.*?)\};", (C / "steps.h").read_text(), re.DOTALL)
    fields = re.findall(r"int64_t (\w+);", watch[1])
    assert (fields[template._TOLD], fields[template._LOOKED], fields[3]) == (
        "told",
        "looked",
        "root",
    )
    assert len(fields) == 4


@pytest.mark.parametrize("made", [True, False])
def test_the_texts_of_an_end_are_where_it_says(made):
    def hierarchy(version, *subsystems):
        return Hierarchy(version, "/x", frozenset(subsystems))

    both = {hierarchy(1, "pids"): "/a", hierarchy(2, "memory", "cpu"): "/b/ü"}
    told = ending(both, made=made)
    paths = told.texts.split(b"\0")[:-1]
    assert paths[: told.folders] == ([b"/a", "/b/ü".encode()] if made else [])

    def at(offset):
        return told.texts[offset:].split(b"\0")[0].decode()

    assert at(told.kills) == "/b/ü/memory.events"
    assert (told.peak is None) != made
    assert not made or at(told.peak) == "/b/ü/memory.peak"
