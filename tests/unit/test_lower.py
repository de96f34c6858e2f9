"""A spec lowered: whatever it is, its plan begins, ends and is carried as promised."""

import errno
import os
import pickle
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsbox
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
from nsbox._native.operations import Operation
from nsbox.constants import Capability, CloneFlag
from nsbox.kept import KEPT
from nsbox.lowered import HOST_NAME
from nsbox.options import NO_OPTIONS
from nsbox.plan import Slot, encode

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
host_names = texts.filter(lambda name: 0 < len(name.encode()) <= 64)
targets = st.sampled_from(
    ["/data", "/a", "/a/b", "/a/b/c", "/tmp", "/tmp/x", "/usr/x", "/etc/motd", "/etc/passwd", "/proc",
     "/dev", "/dev/x", "/link/x", "/loop", "/up/x", "/run/\u00e9 \n"]
)  # fmt: skip
booleans = st.booleans()
modes = st.integers(0, 0o7777)
mounts = st.one_of(
    st.builds(
        Mount.bind,
        st.sampled_from(["/usr", "/etc/passwd", "/no/such", "relative"]),
        targets,
        readonly=booleans,
        recursive=booleans,
        noexec=booleans,
    ),
    st.builds(
        Mount.tmpfs,
        targets,
        size=st.none() | st.integers(1, 2**63 - 1),
        mode=st.none() | modes,
        copy_up=booleans,
    ),
    st.builds(Mount.proc, targets),
    st.builds(Mount.dev, targets),
    st.builds(Mount.file, targets, st.binary(max_size=80) | texts, mode=modes),
)
ids = st.none() | st.integers(0, 2**32 - 2)
id_maps = st.builds(IDMap, ids, gid=ids)
namespaces = st.dictionaries(st.sampled_from(NamespaceType), st.sampled_from(Choice)).map(
    lambda chosen: {**chosen, NamespaceType.MNT: Choice.NEW}
)
clocks = st.builds(TimeOffsets, monotonic=st.sampled_from([0, 1.5]), boottime=st.integers(-5, 5))
names = texts.filter(lambda name: name and "=" not in name)


@st.composite
def specs(draw, folder):
    tree = draw(st.sampled_from([None, folder / "tree", folder / "no such"]))
    root = RootFS.system()
    if tree is not None:
        root = RootFS.directory(tree, readonly=draw(booleans))
    chosen = draw(namespaces)
    named = chosen.get(NamespaceType.UTS) is Choice.NEW
    init, offsets = draw(booleans), TimeOffsets()
    if init and chosen.get(NamespaceType.TIME, Choice.NEW) is Choice.NEW:
        offsets = draw(clocks)
    return BoxSpec(
        hostname=draw(st.none() | host_names) if named else None,
        rootfs=root.with_mounts(*draw(st.lists(mounts, max_size=4))),
        namespaces=chosen,
        id_map=draw(id_maps),
        time_offsets=offsets,
        env=draw(st.dictionaries(names, texts, max_size=3)),
        cwd="/" + draw(texts),
        init=init,
    )


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as made:
        tree = Path(made, "tree")
        for name in ("etc", "usr"):
            (tree / name).mkdir(parents=True)
        (tree / "etc/passwd").write_text("root:x:0:0\n")
        for name, target in {"link": "/usr", "up": "../../..", "loop": "loop"}.items():
            (tree / name).symlink_to(target)
        yield Path(made)


def snapshot(folder):
    """What would change with a change: reading a link moves its access time only."""
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return [
        (str(path), is_now.st_mode, is_now.st_ino, is_now.st_ctime_ns) for path, is_now in found
    ]


ARGS = ["sh", "-c", "exit 7"]


@settings(max_examples=200)
@given(st.data())
def test_any_spec_is_a_value_and_lowers_to_a_whole_plan(folder, attempt, data):
    spec = data.draw(specs(folder))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert attrs.evolve(spec) == spec
    before = snapshot(folder)
    plan, complaint = attempt(spec.plan, ARGS)
    assert snapshot(folder) == before
    if complaint is not None:
        assert complaint.startswith("target ")
        return
    assert pickle.loads(pickle.dumps(spec)).plan(ARGS) == plan
    check_order(plan)
    check_network(plan, spec)
    check_paths(plan)
    check_wishes(plan, spec)
    assert encode(plan.steps).step_count == len(plan)
    assert len(str(plan).splitlines()) == len(plan)
    assert "execve" not in [step.name for step in spec.plan()]


def check_order(plan):
    order = [step.name for step in plan]
    beside = [step.operation for step in plan].count(Operation.UNSHARE_BESIDE)
    assert order[beside] == "clone3"
    assert order[-1] == "execve"
    assert plan[-1].arguments == ("sh", tuple(ARGS))
    assert order.count("execve") == order.count("pivot_root") == 1
    entered = order.index("pivot_root")
    assert 0 < order.index("umount2") - entered < 3
    assert not {"move_mount", "open_tree", "mkdirat", "symlinkat"} & set(order[entered:])
    last = order.index("pivot_root") + order[entered:].index("capset")
    assert last < len(order) - 1
    assert all(step.reference for step in plan)


def check_network(plan, spec):
    """A new one has its loopback up before the rights to it go: in the box, or made beside it."""
    order = [step.operation for step in plan]
    done = [one for one in order if one in (Operation.LOOPBACK_UP, Operation.SETNS_MADE)]
    assert len(done) == (spec.namespaces.get(NamespaceType.NET) is Choice.NEW)
    assert order.count(Operation.UNSHARE_BESIDE) == done.count(Operation.SETNS_MADE)
    for one in done:
        clone = [step.name for step in plan].index("clone3")
        assert clone < order.index(one) < order.index(Operation.CAPSET)


def folder_of(step):
    """The slot of the folder beneath which a step resolves its path."""
    operands = zip(step.operation.operands, step.arguments, strict=True)
    return next((value for (name, _), value in operands if name == "dir"), None)


def check_paths(plan):
    """Whatever is made or attached is beneath the root, and what is written is the caller's own."""
    for step in plan:
        path, beneath = step.path, folder_of(step)
        if path is None:
            continue
        if beneath not in (Slot.CWD, None):
            assert not path.startswith("/")
            assert ".." not in path.split("/")
        elif step.name in ("move_mount", "mount_setattr"):
            assert path in ("/", "")
        elif step.name == "open_tree":
            assert os.path.isabs(str(path))
        elif step.name == "write":
            assert str(path).startswith("/proc/self/")
        else:
            assert beneath is None
            assert step.name not in ("mkdir", "mkdirat", "openat", "symlinkat")


def check_wishes(plan, spec):
    printed = str(plan)
    assert ("sethostname(" in printed) == (spec.hostname is not None)
    made = CloneFlag(0)
    for step in plan:
        if step.name in ("clone3", "unshare") and step.arguments:
            made |= CloneFlag(step.arguments[0])
    for kind in NamespaceType:
        choice = spec.choices.get(kind)
        if kind is not NamespaceType.USER or choice is not None:
            assert bool(made & kind.clone_flag) == (choice is Choice.NEW), kind
    assert ("SIOCSIFFLAGS" in printed) == bool(made & CloneFlag.CLONE_NEWNET)
    assert ("uid_map" in printed) == bool(made & CloneFlag.CLONE_NEWUSER)
    assert "prctl(PR_SET_NO_NEW_PRIVS, 1)" in printed
    order = [step.operation for step in plan]
    assert (Operation.SETNS_OWN in order) == bool(spec.time_offsets.parts)
    if Operation.SETNS_OWN in order:  # by a process of its own, and while it may write there
        made, entered = order.index(Operation.UNSHARE), order.index(Operation.SETNS_OWN)
        assert (
            order.index(Operation.EXECVEAT) < made < entered < order.index(Operation.NOT_DUMPABLE)
        )
    kept = next(step.arguments[0] for step in plan if step.name == "capset")
    assert not Capability(kept) & (Capability.CAP_SYS_ADMIN | Capability.CAP_NET_ADMIN)


def test_the_default_box_prints_its_steps_in_the_order_that_the_kernel_asks_for():
    spec = BoxSpec(hostname="node1")
    plan = spec.plan(["true"])
    check_network(plan, spec)
    order = [step.name for step in plan]
    places = [
        order.index(name)
        for name in ("clone3", "execveat", "sethostname", "pivot_root", "capset", "execve")
    ]
    assert places == sorted(places)


def test_without_a_first_process_the_command_is_process_one():
    order = [step.name for step in BoxSpec(init=False).plan(["true"])]
    assert "execveat" not in order
    assert order.count("clone3") == 1


def test_lowering_is_the_same_each_time_and_again_after_the_tree_changed(tmp_path):
    spec = BoxSpec(rootfs=RootFS.directory(tmp_path, readonly=True))
    before = spec.plan(["true"])
    assert spec.plan(["true"]) == before
    (tmp_path / "new").mkdir()
    assert "new" in [step.path for step in spec.plan(["true"])]


def test_a_root_that_is_not_there_has_a_plan_whose_step_will_say_so():
    for readonly in (False, True):
        rootfs = RootFS.directory("/no/such/tree", readonly=readonly)
        plan = BoxSpec(rootfs=rootfs).plan(["true"])
        assert ("open_tree", "/no/such/tree") in [(step.name, step.path) for step in plan]
        with pytest.raises(nsbox.StepError) as caught:
            nsbox.run(["true"], BoxSpec(rootfs=rootfs))
        assert (caught.value.step.name, caught.value.filename) == ("open_tree", "/no/such/tree")
        assert isinstance(caught.value, FileNotFoundError)


def test_arguments_are_shown_as_they_are_given():
    step = BoxSpec().plan([Path("/bin/echo"), b"\xff", "a b"])[-1]
    assert str(step) == 'execve("/bin/echo", ["/bin/echo", "\\udcff", "a b"])'


@pytest.mark.parametrize("args", [[1], [None], ["a", 2]])
def test_arguments_that_are_none_are_refused(args):
    with pytest.raises(ValueError, match=r"^args: "):
        BoxSpec().plan(args)


def test_limits_are_groups_made_before_the_clone_and_joined_right_after_it():
    spec = BoxSpec(
        namespaces=ISOLATED, resources=Resources(memory_max="64M", cpu_max=0.5, pids_max=20)
    )
    try:
        plan = spec.plan(["true"])
    except nsbox.UnsupportedError as error:
        pytest.skip(f"this host lacks a cgroup controller: {error}")
    lines = [str(step) for step in plan]
    clone = next(i for i, line in enumerate(lines) if line.startswith("clone3("))
    made = [i for i, line in enumerate(lines) if line.startswith("mkdir(")]
    limits = [
        i for i, line in enumerate(lines) if '"67108864"' in line or 'pids.max", "20"' in line
    ]
    joins = [i for i, line in enumerate(lines) if line.endswith(('/tasks", "0")', '.procs", "0")'))]
    assert made
    assert len(limits) == 2
    assert max(*made, *limits) < clone < min(joins)
    assert len(joins) == len(made)
    groups = {Path(str(plan[i].path)) for i in made}
    assert {Path(str(plan[i].path)).parent for i in (*limits, *joins)} <= groups
    own = next(i for i, line in enumerate(lines) if "unshare(CLONE_NEWCGROUP)" in line)
    assert own > max(joins), "the namespace shows the group that its maker is in"
    assert all(f"nsbox-{os.getpid()}-" in group.name for group in groups)
    assert not any(group.exists() for group in groups)


def test_boxes_that_differ_by_their_names_share_a_lowering_and_none_has_anothers_name():
    specs = BoxSpec().replicate(3, hostname="node{index}-" + "x" * 30)
    for spec in (*specs, BoxSpec(hostname="é" * 32), *specs):
        lowered = KEPT.look_up(spec, NO_OPTIONS, None)
        assert lowered is KEPT.look_up(specs[0], NO_OPTIONS, None)
        data = lowered.encoded_for(spec.hostname).data
        assert data.count(spec.hostname.encode() + b"\0") == 1
        assert HOST_NAME.encode() not in data
        assert len(data) == len(lowered.encoded.data)
        operations = [step.operation for step in lowered.steps]
        index = len(lowered.checks) + operations.index(Operation.SETHOSTNAME)
        failed = lowered.failure(index, errno.EPERM, ARGS, spec.hostname).step
        assert failed in spec.plan().steps
        assert failed.arguments == (spec.hostname,)
