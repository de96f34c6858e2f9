"""Values: nonsense is refused by the name of its field; what is left is equal, hashable, carried."""

import builtins
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from nsbox import (
    ISOLATED,
    BoxSpec,
    Choice,
    IDMap,
    Mount,
    NamespaceType,
    Resources,
    RootFS,
    TimeOffsets,
)

MOUNTS = (
    Mount.bind("/srv", "/data", readonly=True),
    Mount.bind(Path("/srv"), Path("/data"), recursive=False, noexec=True),
    Mount.tmpfs("/scratch", size="8M", mode=0o700),
    Mount.tmpfs("/scratch", noexec=True),
    Mount.tmpfs("/scratch", copy_up=True),
    Mount.tmpfs("/scratch", mode=0o750, copy_up=True),
    Mount.bind("/srv", "/data", nosuid=False, nodev=False, propagation="slave"),
    Mount.bind("/srv", "/data", idmap=IDMap.ranges([(0, 100000, 1000)])),
    Mount.overlay("/data", "/srv/one", "/srv/two"),
    Mount.overlay("/data", "/srv/one", upper="/srv/upper"),
    Mount.proc(),
    Mount.proc(hidepid="invisible", subset="pid"),
    Mount.sysfs(),
    Mount.cgroup(),
    Mount.devpts(),
    Mount.mqueue(),
    Mount.dev("/other/dev"),
    Mount.secret("/run/key", "hidden"),
    Mount.symlink("/bin", "usr/bin"),
    Mount.masked("/proc/config.gz"),
    Mount.readonly_path("/srv"),
    Mount.file("/etc/motd", "hello\n", mode=0o600),
    Mount.file("/etc/motd", b"\0\xff"),
)
ROOTS = (
    RootFS.system(),
    RootFS.directory("/srv/tree"),
    RootFS.directory(Path("/srv/tree"), readonly=True),
    RootFS.system(python=True),
    RootFS.overlay("/srv/one", Path("/srv/two")),
    RootFS.overlay("/srv/one", upper="/srv/upper"),
    RootFS.empty(),
    RootFS.system().with_mounts(*MOUNTS),
)
SPECS = (
    BoxSpec(),
    BoxSpec(hostname="node1"),
    BoxSpec(hostname="é" * 32),
    BoxSpec(namespaces=ISOLATED | {NamespaceType.NET: Choice.HOST, NamespaceType.USER: Choice.NEW}),
    BoxSpec(namespaces=ISOLATED | {NamespaceType.NET: Path("/run/netns/blue")}),
    BoxSpec(id_map=IDMap.same()),
    BoxSpec(time_offsets=TimeOffsets(monotonic=-0.5, boottime=86400)),
    BoxSpec(resources=Resources(memory_max="64M", cpu_max=0.5, pids_max=10)),
    BoxSpec(env={"A": "b", "EMPTY": "", "BYTE": "\udcff"}, cwd=Path("/tmp"), init=False),
    BoxSpec(env={}),
    *(BoxSpec(rootfs=root) for root in ROOTS[1:]),
)
OTHERS = (
    IDMap(),
    IDMap(7, gid=8),
    IDMap.same(),
    IDMap.ranges([(0, 100000, 9)]),
    IDMap.subordinate(),
    Resources(),
    Resources(pids_max=1),
    TimeOffsets(monotonic=5),
)
VALUES = (*SPECS, *ROOTS, *MOUNTS, *OTHERS)

every_value = pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)

NO_PATHS = ("", "a\0b", "\ud800", b"/bytes", 5, None)
NO_SIZES = (0, -1, "0", "64X", "M", "", "64iB", "1.5G", "-1", "1e6", True, 2.5, 2**63, "9" * 5000)
NO_MODES = (-1, 0o10000, "644", True, None, 6.44)
NO_BOOLS = ("no", 0, 1, None)
NO_IDS = (-1, 2**32 - 1, 2**32, True, "0", 1.0)

REFUSED = {
    BoxSpec: {
        "hostname": ("", "x" * 65, "é" * 33, "a\0b", "\ud800", b"node", 7),
        "rootfs": (None, "/srv", RootFS),
        "namespaces": (
            None,
            5,
            {"net": Choice.NEW},
            ISOLATED | {NamespaceType.NET: 5},
            ISOLATED | {NamespaceType.NET: ""},
            ISOLATED | {NamespaceType.NET: "a\0b"},
            ISOLATED | {NamespaceType.NET: "\ud800"},
            [NamespaceType.NET],
        ),
        "id_map": (None, (0, 0)),
        "resources": (None, {"memory_max": "64M"}),
        "env": (
            None,
            5,
            "A=b",
            {"A": 1},
            {1: "a"},
            {"": "a"},
            {"A=": "b"},
            {"A": "\0"},
            {"A": "\ud800"},
        ),
        "args": ("sh -c true", b"sh", 5, None, ["a", 5], ["a\0b"], ["\ud800"]),
        "cwd": (*NO_PATHS, "relative", ".", Path("relative")),
        "init": NO_BOOLS,
    },
    RootFS: {"mounts": (None, 5, "/srv", ["/srv"], [None], Mount.proc)},
    RootFS.system: {"python": NO_BOOLS},
    RootFS.directory: {"path": NO_PATHS, "readonly": NO_BOOLS},
    Resources: {
        "memory_max": [size for size in NO_SIZES if size not in (0, "0")],  # none at all
        "cpu_max": (0, -1, 0.001, math.nan, math.inf, -math.inf, "1", True, 2**30),
        "pids_max": (-1, 1.0, "5", True, 2**22 + 1),
    },
    IDMap: {"uid": NO_IDS, "gid": NO_IDS, "subids": NO_BOOLS},
    Mount.tmpfs: {
        "target": (*NO_PATHS, "relative", "/", "//", "/a/../b", "/.."),
        "size": NO_SIZES,
        "mode": tuple(mode for mode in NO_MODES if mode is not None),
        "noexec": NO_BOOLS,
        "copy_up": NO_BOOLS,
    },
    Mount.bind: {
        "source": NO_PATHS,
        "target": (*NO_PATHS, "relative", "/", "/a/.."),
        "readonly": NO_BOOLS,
        "recursive": NO_BOOLS,
        "nosuid": NO_BOOLS,
        "nodev": NO_BOOLS,
        "noexec": NO_BOOLS,
        "idmap": (5, "0:1", IDMap(), IDMap.same()),
        "propagation": (None, "rshared", 1, "PRIVATE"),
    },
    Mount.proc: {
        "target": NO_PATHS,
        "hidepid": (None, 2, "all", True),
        "subset": ("net", True, ["pid"]),
    },
    Mount.sysfs: {"target": NO_PATHS, "readonly": NO_BOOLS},
    Mount.devpts: {"target": NO_PATHS, "mode": NO_MODES},
    Mount.secret: {
        "target": (*NO_PATHS, "relative"),
        "content": (None, 5, "\udcff"),
        "mode": NO_MODES,
    },
    Mount.symlink: {"target": (*NO_PATHS, "/"), "to": NO_PATHS},
    Mount.masked: {"target": NO_PATHS},
    Mount.file: {
        "target": (*NO_PATHS, "relative", "/"),
        "content": (None, 5, bytearray(b"x"), "\ud800", "\udcff", ["x"]),
        "mode": NO_MODES,
    },
    Mount.dev: {"target": NO_PATHS},
}
SOUND = {
    Mount.tmpfs: {"target": "/t"},
    Mount.bind: {"source": "/s", "target": "/t"},
    Mount.file: {"target": "/t", "content": ""},
    Mount.secret: {"target": "/t", "content": ""},
    Mount.symlink: {"target": "/t", "to": "/s"},
    RootFS.directory: {"path": "/s"},
}
CASES = [(make, field) for make, fields in REFUSED.items() for field in fields]


@pytest.mark.parametrize(("make", "field"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_nonsense_is_refused_by_the_name_of_its_field(make, field):
    for nonsense in REFUSED[make][field]:
        with pytest.raises(ValueError, match=f"^{field}: "):
            make(**{**SOUND.get(make, {}), field: nonsense})


@pytest.mark.parametrize("path", NO_PATHS, ids=repr)
def test_a_root_directory_must_be_named(path):
    with pytest.raises(ValueError, match=r"^path: "):
        RootFS.directory(path)


def test_a_root_takes_a_mnt_namespace():
    shared = ISOLATED | {NamespaceType.MNT: Choice.HOST}
    assert BoxSpec(namespaces=shared).rootfs == RootFS.system()
    with pytest.raises(ValueError, match=r"^rootfs: "):
        BoxSpec(namespaces=shared, rootfs=RootFS.directory("/srv"))


def test_joining_takes_a_first_process():
    joined = ISOLATED | {NamespaceType.NET: "/run/netns/blue"}
    assert BoxSpec(namespaces=joined).init
    for what in ({"namespaces": joined}, {"id_map": IDMap.subordinate()}):
        with pytest.raises(ValueError, match=r"^init: "):
            BoxSpec(init=False, **what)


def test_a_name_takes_a_uts_namespace():
    shared = ISOLATED | {NamespaceType.UTS: Choice.HOST}
    assert BoxSpec(namespaces=shared).hostname is None
    with pytest.raises(ValueError, match=r"^hostname: "):
        BoxSpec(namespaces=shared, hostname="node1")


def test_fields_come_by_keyword():
    for make, args in [
        (BoxSpec, ("node1",)),
        (Resources, (1,)),
        (IDMap, (0, 0)),
        (Mount.tmpfs, ("/t", 1)),
    ]:
        with pytest.raises(TypeError):
            make(*args)


@every_value
def test_a_value_is_carried_by_pickle(value):
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert hash(again) == hash(value)
    assert repr(again) == repr(value)
    assert type(again) is type(value)


def test_a_pickled_value_has_the_hash_of_the_process_that_it_comes_to():
    """What is cached must not travel: the hash of a str differs from process to process."""
    script = (
        "import pickle, sys; values = pickle.load(sys.stdin.buffer); import nsbox; "
        "assert nsbox.BoxSpec(hostname='node1') in set(values); assert nsbox.RootFS.system() in set(values)"
    )
    for value in VALUES:
        hash(value)
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(VALUES),
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )


@every_value
def test_a_value_is_equal_to_its_like_and_to_no_other(value):
    assert attrs.evolve(value) == value
    assert hash(attrs.evolve(value)) == hash(value)
    assert [other for other in VALUES if other == value and type(other) is not type(value)] == []


def test_values_that_differ_in_a_field_differ():
    for kind in (SPECS, ROOTS, MOUNTS):
        assert len(set(kind)) == len(kind)


@every_value
def test_a_value_is_never_changed(value):
    field, *_ = attrs.fields(type(value))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, field.name, None)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(value, field.name)


def test_evolve_changes_one_field_and_checks_it():
    spec = SPECS[1]
    assert attrs.evolve(spec, hostname="other") == BoxSpec(hostname="other")
    with pytest.raises(ValueError, match=r"^hostname: "):
        attrs.evolve(spec, hostname="")


def test_mappings_are_taken_as_they_are_at_the_time():
    env = {"A": "b"}
    spec = BoxSpec(env=env)
    env["A"] = "changed"
    assert spec.env == {"A": "b"}
    assert spec == BoxSpec(env={"A": "b"})


def test_mounts_are_added_in_the_order_given():
    root = RootFS.system().with_mounts(MOUNTS[0]).with_mounts(MOUNTS[2], MOUNTS[4])
    assert root.mounts == (MOUNTS[0], MOUNTS[2], MOUNTS[4])
    assert RootFS.system().mounts == ()


def test_paths_of_str_and_path_objects_are_the_same():
    assert Mount.bind(Path("/srv"), Path("/data")) == Mount.bind("/srv", "/data")
    assert RootFS.directory(Path("/srv")) == RootFS.directory("/srv")
    assert Mount.tmpfs("//a/./b/") == Mount.tmpfs("/a/b")


def test_text_and_its_bytes_are_the_same_content():
    assert Mount.file("/f", "é") == Mount.file("/f", "é".encode())


def test_the_content_of_a_file_is_not_spilled_into_its_repr():
    assert "secret" not in repr(Mount.file("/etc/key", "secret" * 100))


def test_nothing_is_looked_up_when_a_value_is_made(monkeypatch):
    def touched(*args, **kwargs):
        raise AssertionError(f"looked up: {args}")

    for name in (
        "open",
        "stat",
        "lstat",
        "readlink",
        "listdir",
        "scandir",
        "getcwd",
        "access",
        "geteuid",
    ):
        monkeypatch.setattr(os, name, touched)
    monkeypatch.setattr(builtins, "open", touched)
    mount = Mount.bind("no/such/source", "/data")
    root = RootFS.directory("no/such/tree").with_mounts(mount, Mount.proc(), Mount.dev())
    spec = BoxSpec(rootfs=root, hostname="node1", resources=Resources(memory_max="1G"))
    assert attrs.evolve(spec, hostname="node2") != spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert repr(spec)
