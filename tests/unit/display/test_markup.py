"""Markup: whatever is put into it, it is well formed and says what was put in."""

import xml.dom.minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox import NamespaceType
from nsbox._native.operations import Operation
from nsbox.display.manual import link
from nsbox.display.markup import Markup, bar, element, escape, page, pill, table

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def text_of(node):
    return "".join(
        child.data if child.nodeType == child.TEXT_NODE else text_of(child)
        for child in node.childNodes
    )


def parsed(markup):
    return xml.dom.minidom.parseString(markup).documentElement


@given(st.text(st.characters(exclude_categories=("C",))))
def test_text_comes_out_as_it_went_in(text):
    assert text_of(parsed(element("b", text))) == text


@given(ANY_TEXT, ANY_TEXT)
def test_no_text_breaks_out_of_an_element_or_an_attribute(text, value):
    root = parsed(element("a", text, title=value))
    assert [child.nodeName for child in root.childNodes] in ([], ["#text"])
    assert list(root.attributes.keys()) == ["title"]


def test_markup_is_not_escaped_twice():
    assert element("b", element("i", "<")) == "<b><i>&lt;</i></b>"
    assert isinstance(escape(Markup("<br/>")), Markup)


def test_attributes_are_written_as_markup_has_them():
    assert element("rect", class_="a b", fill_opacity=0.5, rx=None) == (
        '<rect class="a b" fill-opacity="0.5"/>'
    )


@given(ANY_TEXT, ANY_TEXT)
def test_a_page_is_well_formed_whatever_it_shows(name, value):
    parsed(page("Box", name, pill(value), table([(name, value)], (value, name)), bar(2.0)))


REFERENCES = {one.reference for one in (*Operation, *NamespaceType)}


@pytest.mark.parametrize("reference", sorted(REFERENCES))
def test_every_reference_leads_to_its_manual_page(reference):
    name, section = reference.rstrip(")").split("(")
    address = parsed(link(reference)).getAttribute("href")
    page = f"{name}.{section}.html"
    assert address == f"https://man7.org/linux/man-pages/man{section[0]}/{page}"


def test_what_is_no_reference_stays_text():
    assert link("cgroup-v2.rst, <Threads>") == "cgroup-v2.rst, &lt;Threads&gt;"
