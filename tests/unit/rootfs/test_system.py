"""What of a host makes up `RootFS.system`: on a folder that stands for it, and on this one."""

import os
import stat
from pathlib import Path

import pytest

from nsbox.rootfs.system import CONFIGURATION, PROGRAMS, system_tree
from nsbox.rootfs.tree import Bind, Folder, Link


@pytest.fixture
def host(tmp_path):
    for folder in ("usr/bin", "etc/ssl/certs", "etc/ssh", "home/me", "root", "run", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/profile.d").mkdir()
    for file in (
        "etc/ssl/certs/ca.pem",
        "etc/passwd",
        "etc/shadow",
        "etc/ssh/key",
        "etc/ssl/openssl.cnf",
    ):
        (tmp_path / file).write_text(file)
    return tmp_path


def test_programs_and_a_selection_of_etc_are_shown(host):
    root = system_tree(str(host))
    assert root.children["usr"] == Bind(str(host / "usr"))
    etc = root.children["etc"]
    assert isinstance(etc, Folder)
    assert etc.children["passwd"] == Bind(str(host / "etc/passwd"))
    assert etc.children["ssl"] == Folder(
        {
            "certs": Bind(str(host / "etc/ssl/certs")),
            "openssl.cnf": Bind(str(host / "etc/ssl/openssl.cnf")),
        }
    )


def test_an_empty_folder_costs_no_mount(host):
    etc = system_tree(str(host)).children["etc"]
    assert isinstance(etc, Folder)
    assert etc.children["profile.d"] == Folder()


def test_what_is_not_listed_is_not_shown(host):
    root = system_tree(str(host))
    assert set(root.children) == {"usr", "etc"}
    etc = root.children["etc"]
    assert isinstance(etc, Folder)
    assert set(etc.children) == {"passwd", "profile.d", "ssl"}


def test_what_the_host_lacks_is_left_out(tmp_path):
    assert system_tree(str(tmp_path)) == Folder()


def test_a_link_that_leads_nowhere_is_left_out(host):
    (host / "etc/localtime").symlink_to("/no/such/zone")
    etc = system_tree(str(host)).children["etc"]
    assert isinstance(etc, Folder)
    assert "localtime" not in etc.children


def test_a_file_in_the_place_of_a_folder_is_left_out(host):
    (host / "etc/ssl/openssl.cnf").unlink()
    (host / "etc/ssl/certs/ca.pem").unlink()
    (host / "etc/ssl/certs").rmdir()
    (host / "etc/ssl").rmdir()
    (host / "etc/ssl").write_text("no folder")
    etc = system_tree(str(host)).children["etc"]
    assert isinstance(etc, Folder)
    assert "ssl" not in etc.children


def test_no_secret_of_this_host_is_in_the_tree():
    """Whatever is shown of /etc can be read by everybody, all the way down."""
    for entry in CONFIGURATION:
        path = Path("/etc", entry)
        if path.exists():
            assert path.stat().st_mode & stat.S_IROTH, path
    assert not {"shadow", "gshadow", "sudoers", "ssh", "ssl/private"} & set(CONFIGURATION)


def test_the_programs_of_this_host_are_where_they_are():
    root = system_tree()
    for name in PROGRAMS:
        node = root.children.get(name)
        if node is None:
            assert not os.path.exists(f"/{name}")
        elif isinstance(node, Link):
            assert os.readlink(f"/{name}") == node.target
        else:
            assert node == Bind(f"/{name}")
