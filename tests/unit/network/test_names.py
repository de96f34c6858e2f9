"""The file of names: what a reader sees while it changes, and what it comes to."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbox.network.addresses import interface
from nsbox.network.names import SLACK, HostsFile, lines


def found(path):
    """The lines that hosts(5) lets a program see, without localhost."""
    text = Path(path).read_bytes()
    return [line for line in text.splitlines(keepends=True)[2:] if not line.startswith(b"#")]


@pytest.fixture
def hosts():
    made = HostsFile()
    yield made
    made.close()


def test_names_come_and_go_in_one_file(hosts):
    inode = os.stat(hosts.path).st_ino
    hosts.add(b"10.0.0.2\ta\n")
    hosts.add(b"10.0.0.3\tb\n")
    hosts.remove(b"10.0.0.2\ta\n")
    assert found(hosts.path) == [b"10.0.0.3\tb\n"]
    assert os.stat(hosts.path).st_ino == inode


def test_the_file_does_not_grow_forever(hosts):
    for number in range(10 * SLACK):
        line = f"10.0.0.2\tnode{number}\n".encode()
        hosts.add(line)
        hosts.remove(line)
    assert os.path.getsize(hosts.path) < 4000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_file_holds_those_who_are_there(numbers):
    hosts, there = HostsFile(), {}
    try:
        for number in numbers:
            line = f"10.0.0.{number}\tnode{number}\n".encode()
            if there.pop(line, None):
                hosts.remove(line)
            else:
                hosts.add(line)
                there[line] = True
            assert found(hosts.path) == list(there)
    finally:
        hosts.close()


def test_nothing_is_left_of_it(hosts):
    folder = Path(hosts.path).parent
    hosts.close()
    hosts.close()
    assert not folder.exists()


def test_others_can_read_it_and_not_write(hosts):
    assert os.stat(hosts.path).st_mode & 0o777 == 0o644
    assert os.stat(Path(hosts.path).parent).st_mode & 0o777 == 0o711


def test_a_machine_has_a_line_for_each_address():
    both = [interface("10.0.0.2/24"), interface("fd77::2/64")]
    assert lines(both, "node-1.lan") == (b"10.0.0.2\tnode-1.lan\n", b"fd77::2\tnode-1.lan\n")


@pytest.mark.parametrize("name", [None, "", "a b", "a\n10.0.0.9 b", "#a", "a\t", "é", "-", "a#"])
def test_what_would_be_no_name_in_the_file_is_left_out(name):
    assert lines([interface("10.0.0.2/24")], name) == ()
