"""Every step of a plan fails in turn: the error names it, and nothing is left.

Here each step is replaced in its turn by one that fails; in `test_refused_calls.py` the kernel itself
says no.
"""

import errno
import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from below import own_children

import nsbox
from nsbox import (
    BoxSpec,
    Choice,
    IDMap,
    Mount,
    Namespace,
    NamespaceType,
    Resources,
    RootFS,
    Security,
    TimeOffsets,
    _native,
    commands,
)
from nsbox.kept import KEPT
from nsbox.lowered import Lowered

ERRORS = (errno.EPERM, errno.ENOENT, errno.ENOSPC, errno.EMFILE, errno.EINVAL)
USER = {NamespaceType.USER: Choice.NEW}

Start = Callable[[], object]
FailEach = Callable[..., int]
Make = Callable[[Path], BoxSpec]


def limits() -> Resources:
    report = nsbox.probe().cgroups
    if not report.writable:
        pytest.skip(f"needs cgroups to write to: {report.reason}")
    return Resources(memory_max="64M", pids_max=32)


def overlay(folder: Path) -> BoxSpec:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox (Debian: busybox-static)")
    (folder / "lower/bin").mkdir(parents=True)
    shutil.copy(busybox, folder / "lower/bin/true")
    rootfs = RootFS.overlay(folder / "lower", upper=folder / "upper").with_mounts(
        Mount.tmpfs("/var/tmp"), Mount.secret("/secret", b"s"), Mount.masked("/proc/version")
    )
    return BoxSpec(rootfs=rootfs)


def strict(_: Path) -> BoxSpec:
    if not nsbox.probe().landlock.ok:
        pytest.skip(f"needs Landlock: {nsbox.probe().landlock.reason}")
    return BoxSpec(security=Security.strict(), resources=limits())


def ranges(_: Path) -> BoxSpec:
    if os.geteuid() != 0:
        pytest.skip("needs root, or subordinate ids")
    return BoxSpec(namespaces=nsbox.ISOLATED | USER, id_map=IDMap.ranges([(0, 100000, 1000)]))


SPECS: dict[str, Make] = {
    "default": lambda _: BoxSpec(),
    "no first process": lambda _: BoxSpec(init=False),
    "user namespace": lambda _: BoxSpec(hostname="box", namespaces=nsbox.ISOLATED | USER),
    "ranges of ids": ranges,
    "clocks": lambda _: BoxSpec(time_offsets=TimeOffsets(boottime=5)),
    "limits": lambda _: BoxSpec(resources=limits()),
    "overlay": overlay,
    "strict": strict,
}


def left() -> tuple[list[str], list[int], str]:
    """What a start that failed could leave; what else, the check after each test looks at."""
    _native.forget_memory()  # kept for the next launch
    return (
        sorted(os.listdir("/proc/self/fd")),
        own_children(),
        Path("/proc/self/mountinfo").read_text(),
    )


@pytest.fixture(params=["first", "kept"])
def fail_each(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FailEach]:
    """Start something once for each step of its plan, which fails there; returns how many."""
    seen: list[Lowered] = []
    fault: list[tuple[int, int]] = []
    recall = KEPT.recall

    def planted(lowered: Lowered) -> Lowered:
        seen[:] = [lowered]
        return lowered.failing(*fault[0]) if fault else lowered

    def plant(function: str) -> None:
        real = getattr(KEPT, function)
        monkeypatch.setattr(KEPT, function, lambda *given: planted(real(*given)))

    def kept(*given: object, **more: object) -> Lowered | None:
        """What the next box is started by, mostly a copy of a root that was made once."""
        found = recall(*given, **more) if by_copy else None
        return None if found is None else planted(found.quickest)

    by_copy = request.param == "kept"
    plant("look_up")
    plant("look_up_joining")
    monkeypatch.setattr(KEPT, "recall", kept)
    monkeypatch.setattr(commands, "known", lambda *_: None)  # it finds what is as it should be

    def run(start: Start, every: int = 1) -> int:
        for _ in range(4 if by_copy else 1):  # until there is what the next ones are started by
            start()
        steps, before = seen[0].steps, left()
        for index in range(0, len(steps), 3 * every if by_copy else every):  # most are the same
            step = steps[index]
            number = ERRORS[index % len(ERRORS)]
            fault[:] = [(index, number)]
            with pytest.raises(nsbox.StepError) as caught:
                start()
            assert (caught.value.index, caught.value.errno) == (index, number), step
            assert caught.value.step.operation is step.operation
            assert isinstance(caught.value, type(OSError(number, "")))
            del caught
            deadline = time.monotonic() + 2
            while left() != before and time.monotonic() < deadline:
                time.sleep(0.01)  # others mount and unmount on the host as well
            assert left() == before, step
        fault.clear()
        start()
        return len(steps)

    yield run
    seen.clear()


@pytest.mark.parametrize(
    "make",
    [  # a guest is slow, and what fails is alike everywhere but for the groups
        pytest.param(make, id=name, marks=pytest.mark.guest if name == "limits" else ())
        for name, make in SPECS.items()
    ],
)
def test_each_step_of_a_box_for_one_command_fails(
    make: Make, tmp_path: Path, fail_each: FailEach
) -> None:
    spec = make(tmp_path)
    assert fail_each(lambda: nsbox.run(["true"], spec)) > 30


@pytest.mark.parametrize("make", [SPECS["default"], SPECS["limits"]], ids=["default", "limits"])
def test_each_step_of_a_box_that_stays_fails(
    make: Make, tmp_path: Path, fail_each: FailEach
) -> None:
    spec = make(tmp_path)
    fail_each(lambda: spec.start().close())


@pytest.mark.parametrize("make", SPECS.values(), ids=SPECS.keys())
def test_each_step_of_a_command_in_a_box_fails_and_the_box_stays(
    make: Make, tmp_path: Path, fail_each: FailEach
) -> None:
    spec = make(tmp_path)
    if not spec.init:
        pytest.skip("needs a box that stays, which takes a first process")
    with spec.start() as box:
        assert fail_each(lambda: box.run(["true"], timeout=30)) > 10
        assert box.run(["true"]).returncode == 0


@pytest.mark.parametrize("pty", [False, (30, 90)], ids=["pipes", "terminal"])
def test_each_step_of_a_command_with_ids_and_descriptors_fails(
    pty: bool | tuple[int, int], root: None, fail_each: FailEach
) -> None:
    def start() -> None:
        given = {} if pty else {"stdin": nsbox.PIPE, "stdout": nsbox.PIPE}
        with nsbox.popen(
            ["true"], user=1000, group=1000, extra_groups=[7], pass_fds=[reading], pty=pty, **given
        ) as process:
            assert process.wait() == 0

    reading, writing = os.pipe()
    try:
        fail_each(start)
    finally:
        os.close(reading)
        os.close(writing)


def test_each_step_of_a_box_on_a_network_fails(fail_each: FailEach) -> None:
    pytest.importorskip("pyroute2")
    network = importlib.import_module("nsbox.network")
    with network.Bridge.create("10.77.0.1/24") as lan:
        fail_each(lambda: nsbox.run(["true"], BoxSpec(hostname="one", link=lan)), every=4)


@pytest.mark.parametrize("kind", [NamespaceType.NET, NamespaceType.PID, NamespaceType.USER])
def test_each_step_of_a_box_that_joins_a_namespace_fails(
    kind: NamespaceType, root: None, fail_each: FailEach
) -> None:
    with Namespace.create(kind) as made:
        spec = BoxSpec(namespaces=nsbox.ISOLATED | {kind: made})
        fail_each(lambda: nsbox.run(["true"], spec), every=2)
