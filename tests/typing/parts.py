"""What type checkers make of the parts: read by mypy and pyright, never run."""

from pathlib import Path
from typing import assert_type

import nsbox
from nsbox import (
    Cgroup,
    Choice,
    IDMap,
    Image,
    Mount,
    Namespace,
    NamespaceType,
    Resources,
    RootFS,
    Security,
    StepError,
    Task,
)
from nsbox.image import Store
from nsbox.network import Bridge
from nsbox.oci import read_bundle, write_bundle

limits = Resources(memory_max="64M", cpu_max=0.5, pids_max="max")
assert_type(Resources(memory_max=1 << 20) == limits, bool)

root = RootFS.overlay("/usr", Path("/srv"), upper=Path("/tmp/upper")).with_mounts(
    Mount.bind("/usr", "/data", readonly=True),
    Mount.tmpfs("/scratch", size="8M"),
    Mount.file("/etc/motd", "text"),
)
assert_type(root, RootFS)
with root.mounted() as path:
    assert_type(path, Path)

spec = nsbox.BoxSpec(
    rootfs=root,
    resources=limits,
    security=Security.strict(),
    id_map=IDMap.ranges([(0, 100000, 65536)]),
    namespaces=nsbox.ISOLATED | {NamespaceType.NET: Choice.HOST},
)

with Namespace.create(NamespaceType.UTS) as made:
    assert_type(made, Namespace)
    assert_type(made.pids(), tuple[int, ...])
    assert_type(made.call(len, "four"), int)
for found in nsbox.namespaces():
    assert_type(found, Namespace)
assert_type(Task.current(), Task)

with Cgroup.create("lab", limits, subsystems={"cpu"}) as lab:
    assert_type(lab, Cgroup)
    assert_type(lab.child("web"), Cgroup)
    assert_type(lab.resources, Resources)
    assert_type(lab.stats().memory.current, int)
    assert_type(lab.tree(), str)
    lab.attach(1)
    lab.attach(Task.current(), subsystems={"cpu"})

with Image.open("layout") as image:
    assert_type(image, Image)
    assert_type(image.spec(store=Store("store")), nsbox.BoxSpec)
    assert_type(RootFS.image(image, store="store", upper=Path("upper")), RootFS)
    assert_type(image.config.env["A"], str)

with Bridge.create("10.0.0.1/24") as lan:
    assert_type(lan, Bridge)
    lan.impair("10.0.0.2", delay=0.1)
    nsbox.BoxSpec(link=lan)

assert_type(read_bundle("bundle"), tuple[nsbox.BoxSpec, tuple[str, ...]])
assert_type(write_bundle("bundle", spec, ["true"]), Path)

assert_type(nsbox.probe().cgroups.writable, bool)
assert_type(nsbox.probe().user_namespaces.remedy, str | None)

try:
    nsbox.run(["true"])
except FileNotFoundError as error:
    assert_type(error.errno, int | None)
except StepError as error:
    assert_type(error.hint, str | None)
    assert_type(error.index, int)

Mount.tmpfs("/scratch", "8M")  # type: ignore[call-arg]  # pyright: ignore
Resources(memory="64M")  # type: ignore[call-arg]  # pyright: ignore
NamespaceType.MOUNT  # type: ignore[attr-defined]  # pyright: ignore
