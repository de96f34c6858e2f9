"""Specs as configurations of the OCI runtime specification, and back; each refusal with its path."""

import json
import os
import stat
import warnings

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nsbox
from nsbox import (
    ISOLATED,
    BoxSpec,
    Choice,
    IDMap,
    Landlock,
    MemoryPolicy,
    Mount,
    NamespaceType,
    Resources,
    RootFS,
    Rule,
    Seccomp,
    Security,
    TimeOffsets,
    UnsupportedError,
)
from nsbox.cgroup import IOMax, RDMAMax
from nsbox.constants import Capability
from nsbox.oci import from_config, read_bundle, to_config, write_bundle

TREE = "/nowhere/tree"
SPEC = BoxSpec(rootfs=RootFS.directory(TREE))
ARGS = ("/bin/true",)

WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
IDS = st.none() | st.integers(1, 1 << 16)
RUNTIME_DEVICES = ("c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm")
RUNTIME_DEVICES += ("c 5:2 rwm", "c 136:* rwm")

namespaces = st.sampled_from(
    [
        ISOLATED,
        ISOLATED | {NamespaceType.NET: "/run/netns/one"},
        ISOLATED | {NamespaceType.TIME: Choice.NEW},
        {NamespaceType.MNT: Choice.NEW, NamespaceType.UTS: Choice.NEW},
        ISOLATED | {NamespaceType.USER: Choice.NEW},
    ]
)
mounts = st.lists(
    st.one_of(
        st.builds(
            Mount.bind,
            st.sampled_from(["/srv", "/usr/share"]),
            st.sampled_from(["/a", "/b/c"]),
            readonly=st.booleans(),
            recursive=st.booleans(),
            nosuid=st.booleans(),
            noexec=st.booleans(),
            propagation=st.sampled_from(["private", "slave", "shared"]),
            idmap=st.none() | st.just(IDMap.ranges([(0, 100000, 9)], [(0, 200000, 9)])),
        ),
        st.builds(
            Mount.tmpfs,
            st.sampled_from(["/run", "/var/tmp"]),
            size=st.none() | st.integers(1, 1 << 40),
            mode=st.none() | st.integers(0, 0o7777),
            noexec=st.booleans(),
            copy_up=st.booleans(),
        ),
        st.builds(
            Mount.proc,
            st.just("/proc"),
            hidepid=st.sampled_from(["noaccess", "invisible", "ptraceable"]),
            subset=st.sampled_from([None, "pid"]),
        ),
        st.builds(Mount.sysfs, readonly=st.booleans()),
        st.just(Mount.cgroup()),
        st.just(Mount.mqueue()),
        st.builds(Mount.devpts, st.just("/pts"), mode=st.integers(0, 0o777)),
    ),
    max_size=4,
    unique_by=lambda mount: mount.target,
)
paths = st.lists(st.sampled_from(["/sys/firmware", "/etc/shadow", "/opt"]), unique=True, max_size=2)
rootfs = st.builds(
    lambda readonly, listed, masked, fixed: RootFS.directory(TREE, readonly=readonly).with_mounts(
        *listed, *map(Mount.masked, masked), *map(Mount.readonly_path, fixed)
    ),
    st.booleans(),
    mounts,
    paths,
    paths,
)
SETIDS = Capability.CAP_SETUID | Capability.CAP_SETGID
"""Without these a box cannot start as another user."""

LIMITS = st.none() | st.just("max")
resources = st.builds(
    Resources,
    cpu_weight=st.none() | st.integers(1, 10_000),
    cpu_max=LIMITS | st.sampled_from([0.5, 2, (5_000, 20_000)]),
    cpu_max_burst=st.none() | st.integers(1, 9_000),
    cpu_idle=st.none() | st.booleans(),
    cpuset_cpus=st.none() | st.frozensets(st.integers(0, 99), min_size=1),
    memory_low=st.none() | st.integers(1, 1 << 40),
    memory_max=st.integers(1, 1 << 40),
    memory_swap_max=LIMITS | st.integers(0, 1 << 40),
    io_weight=st.none() | st.integers(10, 1000),
    pids_max=LIMITS | st.integers(1, 1 << 20),
    hugetlb_max=st.none() | st.just({"2MB": 1 << 22}),
    memory_high=LIMITS | st.integers(1, 1 << 40),
    memory_min=st.none() | st.integers(0, 1 << 40),
    memory_oom_group=st.none() | st.booleans(),
    cpu_uclamp_min=LIMITS | st.integers(0, 10_000).map(lambda hundredths: hundredths / 100),
    cpuset_cpus_partition=st.none() | st.just("root"),
    io_max=st.none() | st.just({"8:0": IOMax(rbps=1 << 20, wiops=9), "8:16": IOMax(wbps=1)}),
    rdma_max=st.none() | st.just({"mlx5_1": RDMAMax(hca_handle=2)}),
    net_cls_classid=st.none() | st.integers(1, 1 << 20),
    net_prio_ifpriomap=st.none() | st.just({"eth0": 5}),
    devices=st.none() | st.just(("c 10:229 rw", *RUNTIME_DEVICES)),
)
securities = st.builds(
    Security,
    capabilities=st.integers(0, (1 << 41) - 1).map(lambda bits: Capability(bits) | SETIDS),
    seccomp=st.sampled_from(
        [
            None,
            Seccomp.standard(),
            Seccomp.strict(),
            Seccomp([Rule("mount", "kill_process"), Rule(["kexec_load"], "ENOSYS")], "allow"),
        ]
    ),
    rlimits=st.dictionaries(
        st.sampled_from(["nofile", "core", "nproc"]),
        st.tuples(st.integers(0, 99), st.just(-1) | st.integers(99, 1 << 40)),
    ),
)
specs = st.builds(
    BoxSpec,
    hostname=st.none() | st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True),
    domainname=st.none() | st.from_regex(r"[a-z][a-z0-9.]{0,20}", fullmatch=True),
    rootfs=rootfs,
    namespaces=namespaces,
    resources=resources,
    security=securities,
    env=st.dictionaries(NAMES, WORDS, max_size=3),
    cwd=st.sampled_from(["/", "/srv", "/a b"]),
    user=IDS,
    group=IDS,
    umask=st.integers(0, 0o777),
    oom_score_adj=st.none() | st.integers(-1000, 1000),
    io_priority=st.sampled_from([None, "idle", ("best-effort", 7), ("realtime", 0)]),
    scheduler=st.sampled_from(["other", "batch", "idle", ("fifo", 1), ("rr", 99)]),
    nice=st.none() | st.integers(-20, 19),
    personality=st.sampled_from([None, 0, 8]),
    memory_policy=st.none()
    | st.sampled_from([MemoryPolicy("local"), MemoryPolicy("preferred")])
    | st.builds(
        MemoryPolicy,
        st.sampled_from(["bind", "interleave", "preferred_many"]),
        nodes=st.frozensets(st.integers(0, 99), min_size=1),
        flags=st.sampled_from([(), ["static_nodes"], ["relative_nodes", "numa_balancing"]]),
    ),
)
clocks = st.integers(-(1 << 33), 1 << 33) | st.floats(-1e9, 1e9)


@given(st.builds(TimeOffsets, monotonic=clocks, boottime=clocks))
def test_clocks_are_read_back(offsets):
    chosen = ISOLATED | {NamespaceType.TIME: Choice.NEW}
    spec = attrs.evolve(SPEC, namespaces=chosen, time_offsets=offsets)
    written = json.loads(json.dumps(to_config(spec, ARGS)))
    assert ("timeOffsets" in written["linux"]) == bool(offsets.parts)
    assert from_config(written)[0] == spec


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs, st.lists(WORDS, max_size=3))
def test_what_is_written_is_read_back_as_the_same(spec, more):
    written = json.loads(json.dumps(to_config(spec, ["/bin/true", *more])))
    assert from_config(written) == (spec, ("/bin/true", *more))


def test_ranges_of_ids_are_read_back():
    spec = BoxSpec(
        rootfs=RootFS.directory(TREE),
        namespaces=ISOLATED | {NamespaceType.USER: Choice.NEW},
        id_map=IDMap.ranges([(0, 100000, 1000)], [(0, 200000, 10), (10, 300000, 5)]),
    )
    config = to_config(spec, ARGS)
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 100000, "size": 1000}]
    assert from_config(config)[0] == spec


def test_security_that_may_gain_privileges_is_read_back():
    spec = BoxSpec(rootfs=RootFS.directory(TREE), security=Security.privileged())
    assert from_config(to_config(spec, ARGS))[0] == spec


def test_the_command_of_a_spec_goes_with_it():
    spec = BoxSpec(rootfs=RootFS.directory(TREE), args=["/bin/echo", "one"])
    assert to_config(spec)["process"]["args"] == ["/bin/echo", "one"]
    assert to_config(spec, "/bin/true")["process"]["args"] == ["/bin/true"]


# What a bundle cannot say.

REFUSED_SPECS = {
    "rootfs:": BoxSpec(),
    "rootfs.mounts[0]": {"rootfs": RootFS.directory(TREE).with_mounts(Mount.file("/a", "b"))},
    "rootfs.mounts[1]": {
        "rootfs": RootFS.directory(TREE).with_mounts(Mount.masked("/a"), Mount.tmpfs("/a/b"))
    },
    "security.landlock": {"security": Security(landlock=Landlock(read=("/",)))},
    "security.seccomp": {
        "security": Security(
            seccomp=Seccomp(
                [
                    Rule("dup3", "EINVAL", arguments=[nsbox.Argument(0, "<", 3)]),
                    Rule("dup3", arguments=[nsbox.Argument(0, ">", 1)]),
                ]
            )
        )
    },
    "resources.misc_max": {"resources": Resources(misc_max={"sev": 1})},
    "resources.io_max": {"resources": Resources(io_max={"/dev/vda": IOMax(rbps=1)})},
    "personality": {"personality": 0x0040000},
    "resources.memory_swap_max": {"resources": Resources(memory_swap_max="1G")},
    "resources.memory_max": {"resources": Resources(memory_max=0)},
    "resources.pids_max": {"resources": Resources(pids_max=0)},
    "namespaces": {"namespaces": {NamespaceType.NET: Choice.NEW}, "rootfs": RootFS.system()},
    "id_map": {
        "namespaces": ISOLATED | {NamespaceType.USER: Choice.NEW},
        "id_map": IDMap.subordinate(),
    },
}


@pytest.mark.parametrize("field", REFUSED_SPECS)
def test_a_field_that_no_bundle_can_say_is_named(field):
    fields = REFUSED_SPECS[field]
    spec = fields if isinstance(fields, BoxSpec) else BoxSpec(**{"rootfs": SPEC.rootfs} | fields)
    with pytest.raises(UnsupportedError) as refusal:
        to_config(spec, ARGS)
    assert str(refusal.value).startswith(field)


@pytest.mark.parametrize("root", [RootFS.system(), RootFS.overlay("/srv"), RootFS.empty()])
def test_a_bundle_needs_a_folder_and_says_so(root, tmp_path):
    with pytest.raises(UnsupportedError, match=r"a bundle needs a folder \(`RootFS.directory`\)"):
        write_bundle(tmp_path / "bundle", BoxSpec(rootfs=root), ARGS)
    assert not (tmp_path / "bundle").exists()


def test_whoever_has_the_tree_of_another_root_names_it():
    config = to_config(BoxSpec(rootfs=RootFS.overlay("/srv")), ARGS, root="rootfs")
    assert config["root"] == {"path": "rootfs", "readonly": False}
    assert to_config(BoxSpec(), ARGS, root="rootfs")["root"]["readonly"]


def test_what_json_cannot_hold_is_no_argument():
    with pytest.raises(ValueError, match=r"args: JSON holds UTF-8 only"):
        to_config(SPEC, [b"/bin/\xff"])
    with pytest.raises(ValueError, match=r"args: a program"):
        to_config(SPEC)


# What cannot be honoured, and what is invalid.

UNSUPPORTED = {
    "ociVersion": "2.0.0",
    "hooks.prestart": [{"path": "/bin/true"}],
    "process.terminal": True,
    "process.scheduler.runtime": 1000,
    "process.user.additionalGids": [5],
    "linux.intelRdt": {"closID": "one"},
    "linux.devices[0]": [{"path": "/dev/nowhere", "type": "c", "major": 10, "minor": 229}],
    "linux.devices[0].type": [{"path": "/dev/fifo", "type": "p"}],
    "linux.cgroupsPath": "/one",
    "linux.mountLabel": "label",
    "linux.personality.flags": ["ONE"],
    "linux.rootfsPropagation": "shared",
    "linux.namespaces": [{"type": "pid"}],
    "linux.resources.unified.file": "1",
    "linux.seccomp.flags[0]": ["SECCOMP_FILTER_FLAG_LOG"],
    "linux.resources.memory.swappiness": 0,
    "linux.resources.memory.swap": 100,
    "linux.resources.cpu.realtimeRuntime": 100,
    "linux.seccomp.defaultAction": "SCMP_ACT_TRACE",
    "mounts[0].type": "devtmpfs",
    "mounts[0].options": ["tmpcopyup=1"],
    "mounts[1].options": ["bind", "unbindable"],
    "mounts[0].uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}],
}

INVALID = {
    "ociVersion": None,
    "root": None,
    "root.path": 1,
    "process": None,
    "process.args": [],
    "process.args[1]": ["/bin/true", 1],
    "process.cwd": "here",
    "process.env[0]": ["NONE"],
    "process.user.uid": -1,
    "process.user.gid": "root",
    "process.user.umask": 0o1000,
    "hostname": "a" * 65,
    "domainname": "a" * 65,
    "annotations.one": {"one": 1},
    "hooks.prestart[0].path": [{"path": "true"}],
    "hooks.poststop[0].timeout": [{"path": "/bin/true", "timeout": 0}],
    "hooks.poststart[0].env[0]": [{"path": "/bin/true", "env": ["=value"]}],
    "process.user.additionalGids[0]": [-1],
    "process.consoleSize.height": None,
    "linux.sysctl": {"kernel.panic": "1"},
    "linux.timeOffsets": {"boottime": {"secs": 1}},
    "linux.memoryPolicy.mode": "MPOL_ALL",
    "linux.memoryPolicy": {"mode": "MPOL_BIND"},
    "linux.netDevices.a/b": {},
    "linux.netDevices.eth0.name": "a name",
    "linux.timeOffsets.boottime.nanosecs": 10**9,
    "linux.timeOffsets.boottime.secs": 10**400,
    "linux.timeOffsets.monotonic.secs": "1",
    "linux.personality.domain": "BSD",
    "process.execCPUAffinity.final": "x",
    "linux.devices[0].path": [{"path": "dev", "type": "c", "major": 1, "minor": 3}],
    "process.rlimits[0].type": [{"type": "RLIMIT_ALL", "soft": 1, "hard": 1}],
    "process.rlimits[0]": [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}],
    "process.noNewPrivileges": 1,
    "process.oomScoreAdj": 1001,
    "process.scheduler": {"policy": "SCHED_FIFO"},
    "process.scheduler.policy": "FIFO",
    "process.ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8},
    "process.ioPriority.class": "idle",
    "mounts": {},
    "mounts[0]": ["/proc"],
    "mounts[0].destination": "proc",
    "mounts[1].source": None,
    "linux": [],
    "linux.namespaces[0].type": [{"type": "all"}],
    "linux.namespaces[0].path": [{"type": "network", "path": "net"}],
    "linux.maskedPaths[0]": ["etc"],
    "linux.resources.memory.swap": 1,
    "linux.resources.pids.limit": "1",
    "linux.seccomp.defaultAction": "ALLOW",
    "linux.seccomp.syscalls[0].names": [{"names": [], "action": "SCMP_ACT_ALLOW"}],
}


def _changed(path, value):
    """A configuration in which what is at `path`, or the list of that, is another value."""
    limits = Resources(memory_max=4096) if value == 1 else Resources()
    config = to_config(attrs.evolve(SPEC, resources=limits), ARGS)
    config["mounts"] = [
        {"destination": "/a", "type": "tmpfs"},
        {"destination": "/b", "type": "bind", "source": "/srv", "options": ["bind"]},
    ]
    if path.startswith("mounts[") and "." in path:
        place, _, member = path.partition(".")
        config["mounts"][int(place[7:-1])][member] = value
        return config
    *folders, last = path.partition("[")[0].split(".")
    inside = config
    for name in folders:
        inside = inside.setdefault(name, {})
    inside[last] = value
    return config


@pytest.mark.parametrize("path", UNSUPPORTED)
def test_what_cannot_be_honoured_is_named_by_its_path(path):
    with pytest.raises(UnsupportedError) as refusal:
        from_config(_changed(path, UNSUPPORTED[path]))
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize("path", INVALID)
def test_what_is_invalid_is_named_by_its_path(path):
    with pytest.raises(ValueError, match=r".") as refusal:
        from_config(_changed(path, INVALID[path]))
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("member", "value"), [("nodes", "5-"), ("nodes", [0]), ("flags", ["ONE"]), ("flags", [1])]
)
def test_a_memory_policy_that_is_invalid_is_named_by_its_path(member, value):
    policy = {"mode": "MPOL_BIND", "nodes": "0", member: value}
    with pytest.raises(ValueError, match=rf"^linux\.memoryPolicy\.{member}"):
        from_config(_changed("linux.memoryPolicy", policy))


def _places(value, place=()):
    """The place of each value in a document."""
    yield place
    if not isinstance(value, dict | list):
        return
    inside = value if isinstance(value, dict) else dict(enumerate(value))
    for key, one in inside.items():
        yield from _places(one, (*place, key))


FULL = to_config(
    BoxSpec(
        hostname="full",
        rootfs=RootFS.directory(TREE).with_mounts(
            Mount.bind("/srv", "/srv"), Mount.sysfs(), Mount.cgroup(), Mount.mqueue()
        ),
        namespaces=ISOLATED | {NamespaceType.USER: Choice.NEW},
        id_map=IDMap.ranges([(0, 100000, 1000)]),
        resources=Resources(memory_max=4096, cpu_max=1, pids_max=5, devices=("c 1:3 rwm",)),
        security=Security(
            rlimits={"core": 0},
            seccomp=Seccomp([Rule("dup", "EINVAL", arguments=[nsbox.Argument(0, "<", 3)])]),
        ),
        oom_score_adj=5,
        io_priority="idle",
        scheduler=("fifo", 5),
        nice=5,
        memory_policy=MemoryPolicy("bind", nodes=[0], flags=["static_nodes"]),
    ),
    ARGS,
)
PLACES = [place for place in _places(FULL) if place]
VALUES = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    "",
    "x",
    "\0",
    "\ud800",
    "/",
    [],
    ["\0"],
    [{}],
    {},
    {"a": 1},
]


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_whatever_stands_in_a_place_is_read_or_refused_with_its_path(place, value):
    config = json.loads(json.dumps(FULL))
    *folders, last = place
    inside = config
    for key in folders:
        inside = inside[key]
    inside[last] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refusal = _refusal(config)
    # A name without a uts namespace is refused where the name stands, and so is a filter.
    elsewhere = "hostname: it takes a uts", "linux.seccomp: without process.noNewPrivileges"
    assert refusal is None or refusal.startswith((str(place[0]), *elsewhere))


def _refusal(config):
    try:
        from_config(config)
    except (ValueError, UnsupportedError) as refusal:
        return str(refusal)
    return None


def test_a_configuration_is_an_object():
    with pytest.raises(ValueError, match=r"configuration: an object"):
        from_config([])


def test_empty_values_and_unknown_properties_are_passed_over():
    config = to_config(SPEC, ARGS)
    config |= {"hooks": {"prestart": []}, "domainname": "", "annotations": {"a": "b"}, "new": 1}
    config["process"] |= {"apparmorProfile": "", "new": {"a": 1}}
    config["linux"] |= {"sysctl": {}, "devices": None, "intelRdt": None, "new": [1]}
    assert from_config(config) == (SPEC, ARGS)


def test_a_capability_that_is_not_known_is_a_warning():
    config = to_config(SPEC, ARGS)
    config["process"]["capabilities"] = {"bounding": ["CAP_KILL", "CAP_FLY"]}
    with pytest.warns(UserWarning, match=r"process.capabilities.bounding: .*'CAP_FLY'"):
        spec, _ = from_config(config)
    assert spec.security.capabilities == Capability.CAP_KILL


def test_root_gets_no_more_than_is_permitted_where_it_cannot_gain_any():
    config = to_config(SPEC, ARGS)
    config["process"]["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_KILL"],
    }
    assert from_config(config)[0].security.capabilities == Capability.CAP_KILL
    config["process"]["noNewPrivileges"] = False
    del config["linux"]["seccomp"]
    kept = Capability.CAP_KILL | Capability.CAP_CHOWN
    assert from_config(config)[0].security.capabilities == kept


def test_ambient_capabilities_are_those_that_are_inheritable_too():
    config = to_config(attrs.evolve(SPEC, user=5), ARGS)
    sets = config["process"]["capabilities"]
    sets["ambient"] = ["CAP_KILL", "CAP_CHOWN"]
    assert from_config(config)[0].security == SPEC.security
    sets["inheritable"] = ["CAP_KILL"]
    ambient = attrs.evolve(SPEC.security, ambient=Capability.CAP_KILL)
    assert from_config(config)[0].security == ambient
    assert from_config(to_config(attrs.evolve(SPEC, user=5, security=ambient), ARGS)) == (
        attrs.evolve(SPEC, user=5, security=ambient),
        ARGS,
    )
    sets["inheritable"] = ["CAP_FOWNER"]
    with pytest.raises(UnsupportedError, match=r"^process\.capabilities\.inheritable: "):
        from_config(config)


def test_another_user_whose_root_could_not_change_ids_gets_what_that_takes_and_loses_it():
    config = to_config(SPEC, ARGS)
    config["process"]["capabilities"] = {}
    config["process"]["user"] |= {"uid": 5, "gid": 6}
    assert from_config(config)[0].security.capabilities == SETIDS
    config["process"]["user"]["uid"] = 0
    with pytest.raises(UnsupportedError, match=r"^process\.user: .*CAP_SETGID"):
        from_config(config)


def test_a_filter_takes_no_new_privileges():
    config = to_config(SPEC, ARGS)
    config["process"]["noNewPrivileges"] = False
    with pytest.raises(UnsupportedError, match=r"^linux\.seccomp: "):
        from_config(config)


def test_devices_that_a_mount_shows_are_denied_as_the_list_says():
    config = to_config(SPEC, ARGS)
    bind = {"destination": "/d", "type": "bind", "source": "/dev", "options": ["rbind"]}
    config["mounts"].append(bind)
    rules = from_config(config)[0].resources.devices
    assert rules is not None
    assert [str(rule) for rule in rules] == list(RUNTIME_DEVICES)
    shown = BoxSpec(
        rootfs=RootFS.directory(TREE).with_mounts(Mount.bind("/dev", "/d", nodev=False))
    )
    config = to_config(shown, ARGS)
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert from_config(config)[0] == shown


def test_paths_are_taken_from_the_bundle(tmp_path):
    (tmp_path / "rootfs/tmp").mkdir(parents=True)
    config = to_config(SPEC, ARGS, root="rootfs")
    config["mounts"] = [{"destination": "/a", "source": "data", "options": ["bind", "ro"]}]
    spec, _ = from_config(config, bundle=tmp_path)
    assert spec.rootfs == RootFS.directory(tmp_path / "rootfs").with_mounts(
        Mount.bind(tmp_path / "rootfs/tmp", "/tmp"),
        Mount.bind(
            tmp_path / "data", "/a", readonly=True, recursive=False, nosuid=False, nodev=False
        ),
    )


def test_a_bundle_is_written_once_and_for_its_owner(tmp_path):
    bundle = write_bundle(tmp_path / "some/bundle", SPEC, ARGS)
    assert bundle == tmp_path / "some/bundle"
    assert stat.S_IMODE((bundle / "config.json").stat().st_mode) == 0o600
    assert read_bundle(bundle) == (SPEC, ARGS)
    with pytest.raises(FileExistsError):
        write_bundle(bundle, SPEC, ARGS)


def test_a_bundle_that_is_no_document_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bundle(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json: no JSON document"):
        read_bundle(tmp_path)


def test_reading_warns_of_nothing_else():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_config(to_config(SPEC, ARGS))


def test_files_of_cgroup_v2_hold_over_the_words_of_v1():
    config = to_config(attrs.evolve(SPEC, resources=Resources(memory_max="1M")), ARGS)
    config["linux"]["resources"]["unified"] = {
        "memory.max": "2097152",
        "memory.swap.max": "max",
        "cpu.max": "50000 100000",
        "cpu.idle": "0",
        "io.weight": "default 50",
        "cpuset.cpus": "0-1",
    }
    assert from_config(config)[0].resources == Resources(
        memory_max="2M",
        memory_swap_max="max",
        cpu_max=0.5,
        cpu_idle=False,
        io_weight=50,
        cpuset_cpus={0, 1},
    )
    config["linux"]["resources"]["unified"] = {"cpu.max": "half"}
    with pytest.raises(ValueError, match=r"^linux.resources.unified.cpu.max: .*'half'"):
        from_config(config)


def test_devices_that_every_box_has_are_left_out_and_others_are_the_hosts():
    config = to_config(SPEC, ARGS)
    zero = {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}
    config["linux"]["devices"] = [zero | {"fileMode": 0o666}]
    assert from_config(config)[0].rootfs == RootFS.directory(TREE)
    found = os.stat("/dev/ptmx")
    config["linux"]["devices"] = [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]
    if (os.major(found.st_rdev), os.minor(found.st_rdev)) == (5, 2):
        shown = Mount.bind("/dev/ptmx", "/dev/ptmx", readonly=True, noexec=True, nodev=False)
        assert from_config(config)[0].rootfs == RootFS.directory(TREE).with_mounts(shown)
    config["linux"]["devices"] = [zero | {"path": "/dev/null"}]
    with pytest.raises(UnsupportedError, match=r"^linux.devices\[0\]: .*another device"):
        from_config(config)
