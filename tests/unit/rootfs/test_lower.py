"""A root lowered: which steps, in which order, and never on a path outside of the root."""

import os
from pathlib import Path

import attrs
import pytest
from roots import SITE

import nsbox
from nsbox import Mount, RootFS
from nsbox.rootfs.dev import DEVICES
from nsbox.rootfs.lower import steps
from nsbox.rootfs.proc import MASKED, READONLY


@pytest.fixture
def host(tmp_path):
    for folder in ("tree/bin", "tree/etc", "tree/tmp", "shown"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tree/etc/passwd").write_text("root:x:0:0\n")
    (tmp_path / "file").write_text("a file\n")
    return tmp_path


def lowered(rootfs, **site):
    return [str(step) for step in steps(rootfs, attrs.evolve(SITE, **site))]


def between(lines, first, last):
    return lines[lines.index(first) : lines.index(last) + 1]


def test_the_first_step_keeps_mounts_from_spreading_and_the_last_ones_enter(host):
    for rootfs in (
        RootFS.system(),
        RootFS.directory(host / "tree"),
        RootFS.directory(host / "tree", readonly=True),
    ):
        lines = lowered(rootfs)
        assert lines[0] == 'mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, 0, 0, MS_PRIVATE)'
        assert lines[-4:] == [
            "fchdir(root)",
            'pivot_root(".", ".")',
            'umount2(".", MNT_DETACH)',
            'chdir("/")',
        ]


def test_a_writable_directory_is_its_own_tree_with_mount_points_made_in_it(host):
    lines = lowered(RootFS.directory(host / "tree"))
    assert between(lines, lines[1], 'mkdirat(root, "proc", 0755)') == [
        f'root = open_tree(AT_FDCWD, "{host}/tree", OPEN_TREE_CLONE|AT_RECURSIVE)',
        'mount_setattr(root, "", AT_EMPTY_PATH|AT_RECURSIVE, '
        "MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV, 0, MS_PRIVATE)",
        'move_mount(root, AT_FDCWD, "/")',
        'mkdirat(root, "proc", 0755)',
    ]


def test_a_readonly_directory_that_has_all_mount_points_is_its_own_tree(host):
    for name in ("proc", "dev"):
        (host / "tree" / name).mkdir()
    lines = lowered(RootFS.directory(host / "tree", readonly=True))
    assert lines[1] == f'root = open_tree(AT_FDCWD, "{host}/tree", OPEN_TREE_CLONE|AT_RECURSIVE)'
    assert "MOUNT_ATTR_RDONLY" in lines[2]
    assert not [line for line in lines if 'mkdirat(root, "proc"' in line]


def test_a_readonly_directory_that_lacks_one_is_shown_in_a_tree_in_memory(host):
    lines = lowered(RootFS.directory(host / "tree", readonly=True))
    assert "root = fsmount(context, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV)" in lines
    assert 'mkdirat(root, "proc", 0755)' in lines
    assert f'folder = open_tree(AT_FDCWD, "{host}/tree", 0)' in lines
    assert 'tree = open_tree(folder, "bin", OPEN_TREE_CLONE|AT_RECURSIVE)' in lines
    freeze = next(i for i, line in enumerate(lines) if "setattr(root" in line and "RDONLY" in line)
    made = [i for i, line in enumerate(lines) if line.startswith("mkdirat(root")]
    assert max(i for i in made if "dev/" not in lines[i]) < freeze


def test_every_root_has_proc_dev_and_tmp_unless_told_otherwise(host):
    for rootfs in (RootFS.system(), RootFS.directory(host / "tree")):
        attached = [step.path for step in steps(rootfs, SITE) if step.name == "move_mount"]
        for target in ("proc", "dev", "tmp"):
            assert attached.count(target) == 1
        shown = rootfs.with_mounts(Mount.bind(host / "shown", "/tmp"))
        attached = [step.path for step in steps(shown, SITE) if step.name == "move_mount"]
        assert attached.count("tmp") == 1


def test_a_bind_is_cloned_restricted_and_attached(host):
    mount = Mount.bind(host / "shown", "/srv/data", readonly=True, noexec=True, recursive=False)
    lines = lowered(RootFS.directory(host / "tree").with_mounts(mount))
    source = f'tree = open_tree(AT_FDCWD, "{host}/shown", OPEN_TREE_CLONE)'
    assert between(lines, 'mkdirat(root, "srv", 0755)', 'move_mount(tree, root, "srv/data")') == [
        'mkdirat(root, "srv", 0755)',
        'mkdirat(root, "srv/data", 0755)',
        source,
        'mount_setattr(tree, "", AT_EMPTY_PATH|AT_RECURSIVE, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|'
        "MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC, 0, MS_PRIVATE)",
        'move_mount(tree, root, "srv/data")',
    ]


def test_a_file_is_mounted_on_a_file_and_a_folder_on_a_folder(host):
    rootfs = RootFS.directory(host / "tree").with_mounts(
        Mount.bind(host / "file", "/a"), Mount.bind(host / "shown", "/b")
    )
    lines = lowered(rootfs)
    assert 'openat(root, "a", O_CREAT, 0644, "")' in lines
    assert 'mkdirat(root, "b", 0755)' in lines


def test_a_relative_source_is_the_callers(host, monkeypatch):
    monkeypatch.chdir(host)
    rootfs = RootFS.directory("tree").with_mounts(Mount.bind("shown", "/data"))
    sources = [step.path for step in steps(rootfs, SITE) if step.name == "open_tree"]
    assert str(host / "tree") in sources
    assert str(host / "shown") in sources


def test_a_tmpfs_has_its_size_and_mode(host):
    mount = Mount.tmpfs("/scratch", size="8M", mode=0o700, noexec=True)
    lines = lowered(RootFS.directory(host / "tree").with_mounts(mount))
    end = lines.index('move_mount(tree, root, "scratch")')
    assert lines[end - 5 : end] == [
        'context = fsopen("tmpfs")',
        'fsconfig(context, FSCONFIG_SET_STRING, "mode", "700")',
        'fsconfig(context, FSCONFIG_SET_STRING, "size", "8388608")',
        'fsconfig(context, FSCONFIG_CMD_CREATE, "", "")',
        "tree = fsmount(context, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)",
    ]


def test_files_are_written_out_of_sight_and_shown_from_there(host):
    rootfs = RootFS.directory(host / "tree").with_mounts(
        Mount.file("/etc/motd", "hello\n", mode=0o600), Mount.file("/etc/issue", b"")
    )
    lines = lowered(rootfs)
    stage = lines.index('move_mount(stage, AT_FDCWD, "/")')
    assert stage < lines.index('move_mount(root, AT_FDCWD, "/")'), "the root hides the stage"
    written = [line for line in lines if line.startswith("openat(stage")]
    assert len(written) == 2
    assert '0600, "hello\\n")' in written[0]
    assert not [line for line in lowered(RootFS.system()) if "stage" in line]


def test_what_harms_in_proc_is_masked_by_the_descriptor_of_what_was_mounted(host):
    lines = lowered(RootFS.directory(host / "tree"))
    mounted = lines.index('move_mount(mount, root, "proc")')
    for name in MASKED:
        if os.path.lexists(f"/proc/{name}"):
            mask = f'empty = move_mount(/dev/null or an empty folder, mount, "{name}")'
            assert lines.index(mask) > mounted
    for name in READONLY:
        if os.path.lexists(f"/proc/{name}"):
            assert lines.index(f'move_mount(tree, mount, "{name}")') > mounted
    assert not [line for line in lines if 'root, "proc/' in line]


def test_a_proc_of_processes_alone_needs_no_masks(host):
    lines = lowered(RootFS.directory(host / "tree").with_mounts(Mount.proc(subset="pid")))
    assert 'fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid")' in lines
    assert not [line for line in lines if "or an empty folder" in line]


@pytest.mark.parametrize("devices", [True, False])
def test_a_small_dev_is_made_or_shown_by_its_own_descriptor(host, devices):
    rootfs = RootFS.directory(host / "tree").with_mounts(Mount.dev("/box/dev"))
    lines = lowered(rootfs, devices=devices)
    begun = lines.index('move_mount(mount, root, "box/dev")')
    for name, (major, minor) in DEVICES.items():
        made = f'mknodat(mount, "{name}", 020666, {major}:{minor})'
        shown = (
            f'tree = open_tree(AT_FDCWD, "/dev/{name}", OPEN_TREE_CLONE) of device {major}:{minor}'
        )
        assert (made in lines[begun:]) is devices
        assert (shown in lines[begun:]) is not devices
    assert 'symlinkat("/proc/self/fd", mount, "fd")' in lines
    assert not [line for line in lines if 'root, "box/dev/' in line]


def test_where_a_box_could_make_devices_none_that_it_makes_works(host):
    rootfs = RootFS.directory(host / "tree").with_mounts(Mount.dev("/box/dev"))
    lines = lowered(rootfs, devices=False)
    assert "NODEV" in lines[lines.index('move_mount(mount, root, "box/dev")') - 1]


def test_mounts_come_in_the_order_given(host):
    targets = ["/b", "/a", "/b/c", "/a"]
    mounts = [Mount.tmpfs(target) for target in targets]
    for readonly in (False, True):
        rootfs = RootFS.directory(host / "tree", readonly=readonly).with_mounts(*mounts)
        attached = [step.path for step in steps(rootfs, SITE) if step.name == "move_mount"]
        order = [path for path in attached if path in ("a", "b", "b/c")]
        assert order == [target.lstrip("/") for target in targets]


def test_a_point_inside_of_an_earlier_mount_is_made_when_that_is_mounted(host):
    rootfs = RootFS.directory(host / "tree", readonly=True).with_mounts(
        Mount.tmpfs("/run"), Mount.tmpfs("/run/user/0")
    )
    lines = lowered(rootfs)
    assert lines.index('move_mount(tree, root, "run")') < lines.index(
        'mkdirat(root, "run/user/0", 0755)'
    )


def test_a_point_that_cannot_be_made_is_refused_while_lowering(host):
    for mount in (Mount.tmpfs("/etc/passwd"), Mount.file("/etc", ""), Mount.tmpfs("/etc/passwd/x")):
        with pytest.raises(ValueError, match=r"^target "):
            lowered(RootFS.directory(host / "tree", readonly=True).with_mounts(mount))


def test_lowering_the_hosts_system_touches_nothing_but_what_it_may_show(host):
    for step in steps(RootFS.system(), SITE):
        if step.name == "open_tree" and "AT_FDCWD" in str(step):
            top = Path(str(step.path)).parts[1]
            assert top in {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "dev"}


def test_a_bind_that_is_no_peer_is_taken_before_the_box_parts_from_the_host(host):
    for how, flag in (("slave", "MS_SLAVE"), ("shared", "MS_SHARED")):
        mount = Mount.bind(host / "shown", "/data", propagation=how)
        lines = lowered(RootFS.directory(host / "tree").with_mounts(mount))
        parted = lines.index('mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, 0, 0, MS_PRIVATE)')
        taken = f'held_1 = open_tree(AT_FDCWD, "{host}/shown", OPEN_TREE_CLONE|AT_RECURSIVE)'
        assert lines.index(taken) < parted
        assert flag in lines[parted - 1]
        assert 'move_mount(held_1, root, "data")' in lines[parted:]
    many = [Mount.bind("/srv", f"/{number}", propagation="slave") for number in range(5)]
    with pytest.raises(ValueError, match=r"^propagation: at most 4"):
        lowered(RootFS.directory(host / "tree").with_mounts(*many))


def test_each_map_of_ids_has_a_slot_of_its_own(host):
    maps = [nsbox.IDMap.ranges([(0, 1000 * number, 1)]) for number in range(1, 6)]
    mounts = [Mount.bind("/srv", f"/{n}", idmap=maps[n // 2]) for n in range(4)]
    lines = lowered(RootFS.directory(host / "tree").with_mounts(*mounts))
    mapped = [line.rpartition(" ")[2] for line in lines if "MOUNT_ATTR_IDMAP" in line]
    assert mapped == ["idmap_1)", "idmap_1)", "idmap_2)", "idmap_2)"]
    many = [Mount.bind("/srv", f"/{n}", idmap=id_map) for n, id_map in enumerate(maps)]
    with pytest.raises(ValueError, match=r"^idmap: at most 4"):
        lowered(RootFS.directory(host / "tree").with_mounts(*many))
