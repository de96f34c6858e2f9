"""The table in docs/oci.md against the specification's JSON schema, and against what is done."""

import copy
import json
import re
import warnings
from pathlib import Path

import attrs
import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT4

from nsbox import (
    ISOLATED,
    BoxSpec,
    Choice,
    IDMap,
    MemoryPolicy,
    Mount,
    NamespaceType,
    Resources,
    RootFS,
    Security,
    TimeOffsets,
    UnsupportedError,
)
from nsbox.oci import from_config, to_config
from nsbox.oci.config import describe

SCHEMA = Path(__file__).with_name("schema")
FILES = {path.name: json.loads(path.read_text()) for path in SCHEMA.glob("*.json")}
PAGE = Path(__file__).parents[3] / "docs/oci.md"
OTHERS = ("solaris", "windows", "vm", "zos", "freebsd")
"""What has a schema of its own, for another system."""

TREE = "/nowhere/tree"
BASE = to_config(
    BoxSpec(
        rootfs=RootFS.directory(TREE),
        namespaces=ISOLATED | {NamespaceType.TIME: Choice.NEW},
        security=Security(seccomp=None),
    ),
    ["/bin/true"],
)
del BASE["process"]["capabilities"]


def resolved(node, here):
    while "$ref" in node:
        file, _, place = node["$ref"].partition("#")
        here = file or here
        node = FILES[here]
        for part in place.strip("/").split("/"):
            node = node[part]
    return node, here


def leaves(node, here, path=""):
    """The properties that are no objects, by path."""
    node, here = resolved(node, here)
    inner = []
    for one in (*node.get("allOf", ()), *node.get("anyOf", ())):
        inner += leaves(one, here, path)
    if "items" in node:
        inner += leaves(node["items"], here, f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        inner += leaves(node["additionalProperties"], here, f"{path}.*")
    for name, value in node.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        inner += [place] if place in OTHERS else leaves(value, here, place)
    return [one for one in dict.fromkeys(inner) if one != f"{path}[]"] or [path]


PROPERTIES = leaves(FILES["config-schema.json"], "config-schema.json")


def rows():
    """The rows of the table: paths, in which * stands for a name, and what is said of them."""
    table = PAGE.read_text().partition("## The properties")[2].partition("\n\nOf a spec")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            first, said, _ = line.strip("| ").split(" | ")[:1] + line.split("|")[2:4]
            names = re.findall("`([^`]+)`", first)
            above = names[0].rpartition(".")[0]
            for name in names:
                path = name if name == names[0] or "." in name or not above else f"{above}.{name}"
                yield path, said.strip()


ROWS = list(rows())


def fits(pattern, path):
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.\[]*"), path) is not None


def said_of(path):
    found = [said for pattern, said in ROWS if fits(pattern, path)]
    assert len(found) == 1, f"{path} is in {len(found)} rows of the table"
    return found[0]


def test_the_table_has_each_property_of_the_schema_once_and_no_others():
    assert {said_of(path) for path in PROPERTIES} == {"yes", "part", "container", "ignored", "no"}
    for pattern, _ in ROWS:
        assert any(fits(pattern, path) for path in PROPERTIES), f"{pattern} is no property"


# What is done with them: for each property there is something that says it.

HOOK = {"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 1}
MAP = [{"containerID": 0, "hostID": 100000, "size": 9}]
DISK = {"major": 8, "minor": 0}
MAPPED = {"destination": "/b", "type": "bind", "source": "/srv", "options": ["bind"]}
NO_NEW = {"noNewPrivileges": True}
KEPT = {"bounding": ["CAP_KILL"]}
TWO = {"bounding": ["CAP_KILL", "CAP_CHOWN"]}
RULE = {
    "names": ["mkdir"],
    "action": "SCMP_ACT_ERRNO",
    "errnoRet": 5,
    "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 1, "valueTwo": 1}],
}
FILTER = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 2, "syscalls": [RULE]}
ASKING = FILTER | {
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    "listenerPath": "/run/one",
    "listenerMetadata": "two",
}
NAMES = [{"type": kind} for kind in ("mount", "uts")]


def resources(**members):
    return {"linux": {"resources": members}}


SAYING = [
    {"ociVersion": "1.3.0"},
    {"root": {"path": "/nowhere/else", "readonly": True}},
    {"hostname": "one", "domainname": "two"},
    {"annotations": {"a": "b"}},
    *({"hooks": {name: [HOOK]}} for name in ("prestart", "createRuntime", "createContainer")),
    *({"hooks": {name: [HOOK]}} for name in ("startContainer", "poststart", "poststop")),
    {"process": {"args": ["/bin/false"], "env": ["A=b"], "cwd": "/tmp"}},
    {"process": {"terminal": True, "consoleSize": {"height": 7, "width": 77}}},
    {"process": {"user": {"uid": 5, "gid": 6, "umask": 7}} | NO_NEW},
    {"process": {"user": {"additionalGids": [5]}}},
    {"process": {"user": {"username": "one"}, "commandLine": "one"}},
    {"process": {"capabilities": KEPT}},
    {"process": {"capabilities": TWO | {"permitted": ["CAP_KILL"]}} | NO_NEW},
    {"process": {"capabilities": {"effective": ["CAP_CHOWN"]}}},
    {"process": {"capabilities": KEPT | {"ambient": ["CAP_KILL"]} | {"inheritable": ["CAP_KILL"]}}},
    {"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 1}]}},
    {"process": {"noNewPrivileges": False}},
    {"process": {"oomScoreAdj": 5}},
    {"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5}}},
    {"process": {"scheduler": {"policy": "SCHED_FIFO", "nice": 5, "priority": 5}}},
    *(
        {"process": {"scheduler": {"policy": "SCHED_OTHER", name: value}}}
        for name, value in {"flags": ["A"], "runtime": 1, "deadline": 1, "period": 1}.items()
    ),
    {"process": {"execCPUAffinity": {"initial": "0", "final": "0-1"}}},
    {"process": {"apparmorProfile": "one"}},
    {"process": {"selinuxLabel": "one"}},
    {"mounts": [MAPPED]},
    {"mounts": [MAPPED | {"uidMappings": MAP, "gidMappings": MAP}]},
    {"linux": {"namespaces": [*NAMES, {"type": "network", "path": "/run/netns/one"}]}},
    {
        "linux": {
            "namespaces": [*NAMES, {"type": "user"}],
            "uidMappings": MAP,
            "gidMappings": MAP,
        }
    },
    *(
        {"linux": {"timeOffsets": {clock: {"secs": 1, "nanosecs": 1}}}}
        for clock in ("boottime", "monotonic")
    ),
    {
        "linux": {
            "devices": [
                {"path": "/dev/null", "type": "c", "fileMode": 438, "uid": 0, "gid": 0}
                | {"major": 1, "minor": 3}
            ]
        }
    },
    {"linux": {"netDevices": {"eth0": {"name": "eth1"}}}},
    {"linux": {"cgroupsPath": "/one"}},
    resources(unified={"memory.high": "4096"}),
    resources(
        devices=[
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ]
    ),
    resources(pids={"limit": 5}),
    resources(blockIO={"weight": 50}),
    *(
        resources(blockIO={f"throttle{name}Device": [DISK | {"rate": 5}]})
        for name in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
    ),
    resources(blockIO={"leafWeight": 50}),
    resources(blockIO={"weightDevice": [DISK | {"weight": 50, "leafWeight": 50}]}),
    resources(
        cpu={"shares": 5, "quota": 5000, "period": 9000, "burst": 5}
        | {"idle": 0, "cpus": "0", "mems": "0"}
    ),
    resources(cpu={"realtimeRuntime": 5}),
    resources(cpu={"realtimePeriod": 5}),
    resources(hugepageLimits=[{"pageSize": "2MB", "limit": 5}]),
    resources(memory={"limit": 4096, "swap": 8192, "reservation": 5}),
    *(resources(memory={name: 5}) for name in ("kernel", "kernelTCP", "swappiness")),
    resources(memory={"disableOOMKiller": True}),
    resources(memory={"useHierarchy": True, "checkBeforeUpdate": True}),
    resources(network={"classID": 5, "priorities": [{"name": "eth0", "priority": 5}]}),
    resources(rdma={"mlx": {"hcaHandles": 5, "hcaObjects": 5}}),
    {"linux": {"rootfsPropagation": "private"}},
    {"process": NO_NEW, "linux": {"seccomp": FILTER}},
    {
        "process": NO_NEW,
        "linux": {
            "seccomp": FILTER
            | {"flags": ["SECCOMP_FILTER_FLAG_TSYNC"], "architectures": ["SCMP_ARCH_X86"]}
        },
    },
    {"process": NO_NEW, "linux": {"seccomp": ASKING}},
    {"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}},
    {"linux": {"maskedPaths": ["/one"], "readonlyPaths": ["/two"]}},
    {"linux": {"mountLabel": "one"}},
    *(
        {"linux": {"intelRdt": {name: value}}}
        for name, value in {
            "closID": "one",
            "schemata": ["one"],
            "l3CacheSchema": "one",
            "memBwSchema": "MB:one",
            "enableMonitoring": True,
        }.items()
    ),
    {"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": []}}},
    {"linux": {"personality": {"domain": "LINUX32"}}},
    {"linux": {"personality": {"domain": "LINUX", "flags": ["ONE"]}}},
    *({name: {"a": "b"}} for name in OTHERS),
]

WITHOUT_EFFECT = ("ociVersion", "linux.devices", "linux.rootfsPropagation", "linux.seccomp.flags")
"""What is honoured, but says here no more than is so anyway."""

NOT_REFUSED = ("annotations", "process.execCPUAffinity")
"""What is for a container alone, and says nothing of a box's command."""


MAPS = {path.partition(".*")[0] for path in PROPERTIES if ".*" in path}
"""Objects whose members are named by their user."""


def paths_of(fragment, path=""):
    """The properties that something says, by path."""
    if path in PROPERTIES or not isinstance(fragment, dict | list):
        yield path
    elif isinstance(fragment, list):
        for one in fragment:
            yield from paths_of(one, f"{path}[]")
    else:
        for name, value in fragment.items():
            inner = f"{path}.*" if path in MAPS else f"{path}.{name}" if path else name
            yield from paths_of(value, inner)


def merged(config, fragment):
    for name, value in fragment.items():
        if isinstance(value, dict) and isinstance(config.get(name), dict):
            merged(config[name], value)
        else:
            config[name] = value
    return config


def read(config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return describe(config)


def test_for_each_property_there_is_something_that_says_it():
    assert {path for fragment in SAYING for path in paths_of(fragment)} == set(PROPERTIES)


@pytest.mark.parametrize("fragment", SAYING, ids=lambda one: "+".join(dict.fromkeys(paths_of(one))))
def test_the_table_says_what_is_done(fragment):
    config = merged(copy.deepcopy(BASE), fragment)
    said = {path: said_of(path) for path in paths_of(fragment)}
    refused = [path for path, here in said.items() if here == "no"]
    if refused:
        with pytest.raises(UnsupportedError) as refusal:
            read(config)
        place = str(refusal.value).partition(": ")[0]
        assert any(path.startswith(place.replace("[0]", "[]")) for path in refused)
        return
    found = read(config)
    effects = [
        p for p, here in said.items() if here != "ignored" and not p.startswith(WITHOUT_EFFECT)
    ]
    assert (found != read(copy.deepcopy(BASE))) is bool(effects)
    only = [path for path, here in said.items() if here == "container"]
    if not only or any(path.startswith(NOT_REFUSED) for path in only):
        assert from_config(config)[0] == found.spec
        return
    with pytest.raises(UnsupportedError) as refusal:
        from_config(config)
    assert only[0].startswith(str(refusal.value).partition(": ")[0])


# What is written is what the schema asks for.

REGISTRY = Registry().with_resources(
    [(name, DRAFT4.create_resource(content)) for name, content in FILES.items()]
)
WRITTEN = [
    BoxSpec(rootfs=RootFS.directory(TREE)),
    BoxSpec(rootfs=RootFS.directory(TREE), security=Security.privileged(), args=["true"]),
    BoxSpec(
        rootfs=RootFS.directory(TREE, readonly=True).with_mounts(
            Mount.bind("/srv", "/srv", idmap=IDMap.ranges([(0, 100000, 9)])), Mount.cgroup()
        ),
        namespaces=ISOLATED | {NamespaceType.USER: Choice.NEW},
        id_map=IDMap.ranges([(0, 100000, 1000)]),
        hostname="one",
        domainname="two",
        sysctl={"net.ipv4.ip_forward": "1"},
        personality=8,
        memory_policy=MemoryPolicy("bind", nodes="0-3,7", flags=["static_nodes"]),
        time_offsets=TimeOffsets(monotonic=-1.5, boottime=1),
        user=5,
        resources=Resources(memory_max="1G", memory_high="1G", cpu_max=0.5, pids_max="max"),
    ),
]


@pytest.mark.parametrize("spec", WRITTEN, ids=["as it is", "privileged", "much"])
def test_what_is_written_is_valid_by_the_schema(spec):
    config = to_config(spec if spec.args else attrs.evolve(spec, args=["true"]))
    schema = {"$ref": "config-schema.json"}
    jsonschema.validators.Draft4Validator(schema, registry=REGISTRY).validate(config)
