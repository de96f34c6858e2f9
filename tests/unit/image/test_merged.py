"""Layers looked at without a mount: who is in their files, what hides what."""

import os

import pytest

from nsbox import ImageError
from nsbox.image.merged import Merged
from nsbox.image.users import look_up


@pytest.fixture
def layers(tmp_path):
    """Two layers: /etc in both, a link, a folder that the upper one makes opaque, a whiteout."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "usr/etc").mkdir(parents=True)
    (lower / "usr/etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n7:x:70:71::/seven:\nbroken\n"
    )
    (lower / "usr/etc/group").write_text("root:x:0:\nweb:x:34:web\n9:x:90:\n")
    (lower / "etc").symlink_to("/usr/etc")
    (lower / "opaque/below").mkdir(parents=True)
    (lower / "gone").touch()
    (lower / "file").touch()
    (upper / "usr/etc").mkdir(parents=True)
    (upper / "usr/etc/new").touch()
    (upper / "opaque").mkdir()
    (upper / "empty").mkdir()
    os.setxattr(upper / "opaque", "user.overlay.opaque", b"y")
    os.mknod(upper / "gone", 0o020000, 0)
    (upper / "loop").symlink_to("loop")
    return [str(lower), str(upper)]


def test_files_are_found_through_links_in_whichever_layer(layers):
    tree = Merged(layers)
    assert tree.read("/etc/passwd").startswith(b"root")
    assert tree.read("etc/../etc/new") == b""
    assert tree.read("/../../etc/group").startswith(b"root")
    for path in ("/gone", "/opaque/below", "/none", "/etc", "/", "/loop", "/file/below"):
        assert tree.read(path) is None


def test_empty_is_what_has_nothing_in_any_layer(layers):
    tree = Merged(layers)
    assert tree.is_empty("/empty")
    assert tree.is_empty("/none")
    assert tree.is_empty("/gone")
    assert not tree.is_empty("/etc")
    assert not tree.is_empty("/file")


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (0, 0, "/root")),
        ("root", (0, 0, "/root")),
        ("web", (33, 34, "/srv")),
        ("33", (33, 34, "/srv")),
        ("1000", (1000, 0, None)),
        ("1000:1001", (1000, 1001, None)),
        ("web:root", (33, 0, "/srv")),
        ("web:9", (33, 90, "/srv")),
        ("7", (70, 71, "/seven")),
        (":web", (0, 34, "/root")),
    ],
)
def test_a_user_is_looked_up_in_the_image(layers, user, ids):
    found = look_up(user, Merged(layers))
    assert (found.uid, found.gid, found.home) == ids


@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "web:none",
        "-1",
        "4294967295",
        "\uff11",
        "0x0",
        "web:-1",
        " ",
        "web:",
        "99999999999",
    ],
)
def test_nobody_is_refused(layers, user):
    with pytest.raises(ImageError, match="image's /etc/"):
        look_up(user, Merged(layers))
