"""What a running interpreter needs of a host: its own folders, never somebody's whole home."""

import os
import sys

import pytest

from nsbox.rootfs.python import import_state, needed, python_mounts, shown


@pytest.fixture
def host(tmp_path):
    for folder in (
        "usr/lib/python3",
        "opt/python/lib",
        "home/me/venv/lib",
        "home/me/project/src",
        "home/other",
        "tmp/venv",
        "var/tmp",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/me/current").symlink_to("venv")
    (tmp_path / "opt/packages.zip").write_text("")
    return tmp_path


def chosen(host, *paths):
    found = shown([str(host / path) for path in paths], {str(host / "home/me")}, str(host))
    return [os.path.relpath(path, host) for path in found]


def test_what_is_there_is_shown_at_its_own_path(host):
    assert chosen(host, "opt/python", "opt/packages.zip", "no/such") == [
        "opt/packages.zip",
        "opt/python",
    ]


def test_what_is_shown_anyway_is_not_shown_again(host):
    assert chosen(host, "usr", "usr/lib/python3", "opt/python/lib", "opt/python") == ["opt/python"]


def test_a_link_is_shown_by_its_name_and_by_what_it_leads_to(host):
    assert chosen(host, "home/me/current") == ["home/me/current", "home/me/venv"]


@pytest.mark.parametrize(
    "path", ["home/me", "home", "home/other", ".", "tmp", "var/tmp", "var", "home/me/."]
)
def test_nobodys_home_and_nothing_of_everybody_is_shown_as_a_whole(host, path):
    assert chosen(host, path) == []
    assert chosen(host, path, "home/me/project/src") == ["home/me/project/src"]


def test_an_environment_in_tmp_is_shown(host):
    assert chosen(host, "tmp/venv") == ["tmp/venv"]


def test_the_running_interpreter_is_found():
    paths = set(needed())
    assert {sys.prefix, sys.base_prefix, sys.executable} <= paths
    assert all(mount.readonly and mount.source == mount.target for mount in python_mounts())


def test_the_import_path_counts(monkeypatch, tmp_path):
    before = import_state()
    monkeypatch.syspath_prepend(tmp_path)
    assert import_state() != before
    assert str(tmp_path) in {mount.source for mount in python_mounts()}
