"""A root in the making: mount points, opened-up folders and links, on folders of this host."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsbox.plan import Slot
from nsbox.rootfs.tree import Bind, Folder, Link, Tree

LOOPS = {"self": "self", "a": "b", "b": "a", "deep": "deep/deeper"}


@pytest.fixture
def host(tmp_path):
    """A small tree of the host: folders, a file, and links of each sort."""
    for folder in ("etc/ssl", "usr/bin", "home/me", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0\n")
    (tmp_path / "secret").chmod(0o700)
    for name, target in {
        "bin": "usr/bin",
        "abs": "/usr",
        "up": "../../../../etc",
        "home/out": "../../etc/ssl",
        "dangling": "no/such",
        "chain": "home/out",
        "file": "etc/passwd",
        **LOOPS,
    }.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


def tree_of(host):
    return Tree(Bind(str(host)))


def printed(tree):
    return [str(step) for step in tree.steps()]


def made(tree):
    """What the steps make, by path: a folder's mode, a link's target, a source that is shown."""
    found, source, held = {}, None, None
    for step in tree.steps():
        if step.name == "mkdirat":
            _, path, mode = step.arguments
            found[path] = oct(mode)
        elif step.name == "symlinkat":
            target, _, path = step.arguments
            found[path] = f"-> {target}"
        elif step.name == "fchownat":
            assert step.path in (".", *found)
        elif step.name == "openat":
            found[step.path] = "file"
        elif step.name == "open_tree":
            into, dir_, path, _ = step.arguments
            if into == Slot.FOLDER:
                held = path
            else:
                source = path if dir_ == Slot.CWD else f"{held}/{path}"
        else:
            assert step.name == "move_mount"
            found[step.path] = source
    return found


@pytest.mark.parametrize(
    "target", ["/etc", "/etc/ssl", "/bin", "/abs/bin", "/up/ssl", "/home/out", "/chain"]
)
def test_a_folder_that_is_there_needs_no_room(host, target):
    tree = tree_of(host)
    tree.mount_point(target, folder=True)
    assert tree.root == Bind(str(host))
    assert printed(tree) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "/file", "/up/passwd", "/chain/../passwd"])
def test_a_file_that_is_there_needs_no_room(host, target):
    tree = tree_of(host)
    tree.mount_point(target, folder=False)
    assert printed(tree) == []


def test_the_folder_that_lacks_a_mount_point_is_opened_up(host):
    tree = tree_of(host)
    tree.mount_point("/etc/new/deep", folder=True)
    found = made(tree)
    assert found["etc"] == oct(stat.S_IMODE((host / "etc").stat().st_mode))
    assert found["etc/passwd"] == str(host / "etc/passwd")
    assert found["etc/ssl"] == str(host / "etc/ssl")
    assert found["etc/new"] == found["etc/new/deep"] == "0o755"
    assert found["usr"] == str(host / "usr")
    assert found["bin"] == "-> usr/bin"
    assert found["dangling"] == "-> no/such"


def test_what_was_found_in_an_opened_folder_is_taken_beneath_its_descriptor(host):
    """By its whole path it could be a link by then: see test_hostile_roots."""
    tree = tree_of(host)
    tree.mount_point("/etc/new", folder=True)
    shown = [step.arguments for step in tree.steps() if step.name == "open_tree"]
    assert [path for _, dir_, path, _ in shown if dir_ == Slot.CWD] == [str(host)]
    assert [path for _, dir_, path, _ in shown if dir_ == Slot.FOLDER] == [
        "etc/passwd",
        "etc/ssl",
        "home",
        "secret",
        "usr",
    ]


@pytest.mark.parametrize("target", ["/data/new", "/new"])
def test_what_becomes_a_link_while_it_is_looked_at_shows_nothing_of_the_host(
    host, tmp_path_factory, target
):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "theirs").touch()
    (host / "data/mine").mkdir(parents=True)
    tree = tree_of(host)
    assert tree.mount_point("/data/mine", folder=True)
    tree = tree_of(host)
    tree.mount_point("/other", folder=True)  # the root is listed by now
    (host / "data").rename(host / "moved")
    (host / "data").symlink_to(outside)
    with contextlib.suppress(OSError):
        tree.mount_point(target, folder=True)
    assert not [path for path in made(tree) if "theirs" in path]


def test_what_goes_while_a_folder_is_listed_is_left_out(host, monkeypatch):
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda fd: [*listdir(fd), "gone"])
    tree = tree_of(host)
    tree.mount_point("/new", folder=True)
    assert "usr" in made(tree)
    assert "gone" not in made(tree)


def test_an_opened_folder_has_the_mode_of_its_original(host):
    tree = tree_of(host)
    tree.mount_point("/secret/box", folder=True)
    assert made(tree)["secret"] == "0o700"


def test_room_for_a_file_is_an_empty_file(host):
    tree = tree_of(host)
    tree.mount_point("/etc/motd", folder=False)
    assert 'openat(root, "etc/motd", O_CREAT, 0644, "")' in printed(tree)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/abs/new", "usr/new"),
        ("/up/new", "etc/new"),
        ("/home/out/new", "etc/ssl/new"),
        ("/chain/new", "etc/ssl/new"),
        ("/bin/new", "usr/bin/new"),
        ("/dangling", "no/such"),
        ("/dangling/x", "no/such/x"),
    ],
)
def test_room_is_made_where_the_links_lead_in_the_root(host, target, place):
    tree = tree_of(host)
    tree.mount_point(target, folder=True)
    assert made(tree)[place] == "0o755"
    assert set(made(tree).values()) & {"-> usr/bin", "-> /usr"}, "links stay links"


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_of_links_is_refused_by_the_target(host, name):
    with pytest.raises(ValueError, match=f"target '/{name}/x'"):
        tree_of(host).mount_point(f"/{name}/x", folder=True)


def test_a_long_link_is_no_loop(host):
    (host / "long").symlink_to("/".join(["usr", ".."] * 200) + "/etc")
    tree = tree_of(host)
    tree.mount_point("/long/ssl", folder=True)
    assert printed(tree) == []


def test_a_chain_of_links_is_followed_as_far_as_the_kernel_does(host):
    """path_resolution(7): 40 links."""
    (host / "l0").symlink_to("etc")
    for number in range(1, 41):
        (host / f"l{number}").symlink_to(f"l{number - 1}")
    tree_of(host).mount_point("/l39", folder=True)
    assert (host / "l39/passwd").exists()
    with pytest.raises(ValueError, match="too many symbolic links"):
        tree_of(host).mount_point("/l40", folder=True)
    with pytest.raises(OSError, match="symbolic links"):
        (host / "l40").stat()


@pytest.mark.parametrize(
    ("target", "folder"), [("/etc/passwd", True), ("/file", True), ("/etc", False), ("/bin", False)]
)
def test_a_file_is_no_place_for_a_folder_nor_a_folder_for_a_file(host, target, folder):
    with pytest.raises(ValueError, match=f"target '{target}'"):
        tree_of(host).mount_point(target, folder=folder)


@pytest.mark.parametrize("target", ["/etc/passwd/x", "/file/x", "/etc/passwd/x/y"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_file_on_the_way_is_refused(host, target, folder):
    with pytest.raises(ValueError, match=f"target '{target}'"):
        tree_of(host).mount_point(target, folder=folder)


def test_room_that_was_made_serves_again_for_its_like_only(host):
    tree = tree_of(host)
    tree.mount_point("/new/file", folder=False)
    tree.mount_point("/new/folder", folder=True)
    before = printed(tree)
    tree.mount_point("/new/file", folder=False)
    tree.mount_point("/new/folder", folder=True)
    assert printed(tree) == before
    for target, folder in (("/new/file", True), ("/new/folder", False)):
        with pytest.raises(ValueError, match=f"target '{target}'"):
            tree.mount_point(target, folder=folder)


def test_room_does_not_depend_on_the_working_folder(host, monkeypatch):
    tree = tree_of(host)
    tree.mount_point("/new/file", folder=False)
    before = printed(tree)
    monkeypatch.chdir(host)
    assert not tree.mount_point("/new/file/etc", folder=True)
    assert printed(tree) == before


@pytest.mark.parametrize("target", ["/etc/new", "/up/new", "/home/out/new", "/chain/../new"])
def test_beneath_an_earlier_mount_no_room_is_made_by_whatever_name(host, target):
    tree = tree_of(host)
    assert tree.mount_point("/etc", folder=True)
    assert not tree.mount_point(target, folder=True)
    assert printed(tree) == []


def test_a_way_that_leaves_an_earlier_mount_is_followed(host):
    (host / "usr/back").symlink_to("../etc/../home")
    tree = tree_of(host)
    assert tree.mount_point("/etc", folder=True)
    assert tree.mount_point("/usr/back/me", folder=True)
    assert not tree.mount_point("/usr/back/me/deeper", folder=True)


def test_a_link_is_put_in_the_place_of_a_file_or_link(host):
    tree = tree_of(host)
    for target in ("/etc/passwd", "/etc/new", "/bin", "/chain/deep/new"):
        assert tree.link(target, "to/there")
    found = made(tree)
    assert [found[place] for place in ("etc/passwd", "etc/new", "bin", "etc/ssl/deep/new")] == [
        "-> to/there"
    ] * 4


def test_a_link_is_put_neither_over_a_folder_nor_into_a_mount(host):
    tree = tree_of(host)
    with pytest.raises(ValueError, match="target '/etc/ssl': is a folder"):
        tree.link("/etc/ssl", "x")
    assert tree.mount_point("/home", folder=True)
    assert not tree.link("/home/x", "x")
    assert not tree.link("/home/deep/x", "x")
    with pytest.raises(ValueError, match="target '/home': something is mounted"):
        tree.link("/home", "x")


def test_a_link_to_the_root_is_no_mount_point(host):
    (host / "top").symlink_to("/")
    with pytest.raises(ValueError, match="target '/top': is the root itself"):
        tree_of(host).mount_point("/top", folder=True)


def test_a_tree_in_memory_is_made_as_it_was_put(host):
    root = Folder()
    root.put("usr", Bind(str(host / "usr")))
    root.put("etc/passwd", Bind(str(host / "etc/passwd")))
    root.put("bin", Link("usr/bin"))
    assert printed(Tree(root)) == [
        'mkdirat(root, "usr", 0755)',
        f'tree = open_tree(AT_FDCWD, "{host}/usr", OPEN_TREE_CLONE|AT_RECURSIVE)',
        'move_mount(tree, root, "usr")',
        'mkdirat(root, "etc", 0755)',
        'openat(root, "etc/passwd", O_CREAT, 0644, "")',
        f'tree = open_tree(AT_FDCWD, "{host}/etc/passwd", OPEN_TREE_CLONE|AT_RECURSIVE)',
        'move_mount(tree, root, "etc/passwd")',
        'symlinkat("usr/bin", root, "bin")',
    ]


names = st.sampled_from(["a", "b", "c", ".hidden", "with space", "é"])
link_targets = st.lists(names | st.sampled_from(["..", "."]), min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["/".join(parts), "/" + "/".join(parts)])
)
nodes = st.recursive(
    st.just(None) | link_targets,
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
trees = st.dictionaries(names, nodes, max_size=4)
targets = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def build(folder, entries):
    """Make a tree on disk: a dict is a folder, text a link, None a file."""
    for name, entry in entries.items():
        if isinstance(entry, dict):
            (folder / name).mkdir()
            build(folder / name, entry)
        elif entry is None:
            (folder / name).write_text(name)
        else:
            (folder / name).symlink_to(entry)


def snapshot(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else None
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, link)
    return found


@given(trees, st.lists(st.tuples(targets, st.booleans()), max_size=4))
def test_making_room_changes_nothing_on_disk_and_never_leaves_the_root(entries, wanted):
    with tempfile.TemporaryDirectory() as made_here:
        host = Path(made_here, "root")
        host.mkdir()
        Path(made_here, "outside").mkdir()
        build(host, entries)
        before = snapshot(Path(made_here))
        tree = tree_of(host)
        for target, folder in wanted:
            try:
                tree.mount_point(target, folder=folder)
            except ValueError as error:
                complaint = str(error)
            else:
                complaint = ""
            assert complaint == "" or f"target {target!r}" in complaint
        check_steps(tree, host)
        assert snapshot(Path(made_here)) == before


def check_steps(tree, host):
    """Every step makes something new in a folder that an earlier step made: never through a link."""
    folders, others = {""}, set()
    for step in tree.steps():
        if step.name == "open_tree":
            source = host / str(step.path)
            assert source.is_relative_to(host)
            assert not source.is_symlink()
            continue
        if step.name in ("move_mount", "fchownat"):
            assert step.path in folders | others | {"."}
            continue
        path = str(step.path)
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert path not in folders | others
        assert path.rpartition("/")[0] in folders
        (folders if step.name == "mkdirat" else others).add(path)
