"""What no box can join, or no namespace can have, is refused: with the reason, and before anything
is touched."""

import os
import subprocess
import sys
import textwrap

import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, Namespace, NamespaceType, StepError, UnsupportedError

pytestmark = pytest.mark.usefixtures("root")
MNT, NET, PID, TIME, USER, UTS = (
    NamespaceType[name] for name in ("MNT", "NET", "PID", "TIME", "USER", "UTS")
)


def start(chosen, **fields):
    nsbox.run(["true"], BoxSpec(namespaces=nsbox.ISOLATED | chosen, **fields))


def in_process(command, script, **more):
    """Run Python as `command` lets it, with what the tests here use; return what it prints."""
    prelude = """
    import os, sys, nsbox
    from nsbox import *
    T = NamespaceType
    def refusal(chosen, **fields):
        try:
            nsbox.run(["true"], BoxSpec(namespaces=ISOLATED | chosen, **fields))
        except (NsboxError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    """
    done = subprocess.run(
        [*command, sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_callers_own_user_namespace_cannot_be_joined_again():
    with pytest.raises(UnsupportedError, match="in this user namespace already"):
        start({USER: Namespace.current(USER)})


def test_a_handle_of_another_kind_is_no_value():
    with pytest.raises(ValueError, match="is a net namespace, and cannot be the box's uts"):
        BoxSpec(namespaces={UTS: Namespace.current(NET)})


def test_a_path_of_another_kind_is_refused_when_it_is_opened():
    with pytest.raises(ValueError, match="is a net namespace, and cannot be the box's uts"):
        start({UTS: "/proc/self/ns/net"})


def test_a_path_that_stands_for_no_namespace_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="stands for no namespace"):
        start({UTS: tmp_path / "file"})
    with pytest.raises(FileNotFoundError):
        start({UTS: tmp_path / "missing"})


def test_a_closed_handle_is_refused_and_no_group_is_made():
    namespace = Namespace.create(UTS)
    namespace.close()
    with pytest.raises(ValueError, match="is closed"):
        start({UTS: namespace}, resources=nsbox.Resources(pids_max=50))


def test_a_box_without_a_first_process_joins_nothing():
    for fields in (
        {"namespaces": nsbox.ISOLATED | {UTS: Namespace.current(UTS)}},
        {"namespaces": nsbox.ISOLATED | {UTS: "/proc/self/ns/uts"}},
        {"id_map": IDMap.ranges([(0, 100000, 10)])},
    ):
        with pytest.raises(ValueError, match=r"^init: "):
            BoxSpec(init=False, **fields)


@pytest.mark.parametrize("user", [Choice.HOST, "/proc/self/ns/user"], ids=repr)
def test_ranges_are_for_a_user_namespace_that_is_new(user):
    with pytest.raises(ValueError, match=r"^id_map: "):
        BoxSpec(id_map=IDMap.ranges([(0, 100000, 10)]), namespaces={USER: user})


def test_what_is_not_below_is_out_of_reach_for_the_root_of_a_user_namespace():
    """The namespaces are handed to it as descriptors: whoever has one has no right to it."""
    with Namespace.create(NET) as net, Namespace.create(USER) as sibling:
        script = f"""
        print(refusal({{T.NET: "/proc/self/fd/{net.fileno()}"}}))
        print(refusal({{T.USER: "/proc/self/fd/{sibling.fileno()}"}}))
        print(refusal({{T.PID: "/proc/self/ns/pid"}}))
        with Namespace.open({net.fileno()}) as net:
            try:
                print(net.user_namespace)
            except PermissionError:
                print("out of sight")
            try:
                with net.entered():
                    print("entered")
            except PermissionError as error:
                print(error.step.name, "CAP_SYS_ADMIN" in error.hint)
        """
        command = ["unshare", "--user", "--map-root-user"]
        fds = (net.fileno(), sibling.fileno())
        told = in_process(command, script, pass_fds=fds).splitlines()
    assert "UnsupportedError" in told[0]
    assert "belongs to a user namespace out of sight" in told[0]
    assert "is not below the caller's user namespace" in told[1]
    assert "belongs to a user namespace out of sight" in told[2]
    assert told[3:] == ["out of sight", "setns True"]


def test_a_pid_namespace_above_cannot_be_joined():
    with Namespace.current(PID) as here:
        script = f"""
        print(refusal({{T.PID: "/proc/self/fd/{here.fileno()}"}}))
        print(refusal({{T.PID: Namespace.current(T.PID)}}))
        """
        command = ["unshare", "--pid", "--fork", "--mount-proc"]
        told = in_process(command, script, pass_fds=(here.fileno(),)).splitlines()
    assert "is not the caller's pid namespace or one below it" in told[0]
    assert told[1] == "None"


def test_an_id_that_the_joined_user_namespace_has_not_is_named_with_the_field():
    with Namespace.create(USER, id_map=IDMap.ranges([(5, 100000, 10)], uid=5, gid=5)) as user:
        with pytest.raises(StepError, match="id_map") as caught:
            start({USER: user})
        assert caught.value.step.name in ("setresuid", "setresgid")
        start({USER: user}, id_map=IDMap(5, gid=5))


def test_a_map_of_what_the_callers_user_namespace_has_not_is_refused_by_the_kernel_and_explained():
    script = """
    for lines in ([(0, 5, 1)], [(0, 0, 2)]):
        try:
            Namespace.create(T.USER, id_map=IDMap.ranges(lines))
        except StepError as error:
            print(type(error).__mro__[1].__name__, error.step.path.split("/")[-1], error.hint)
    print(os.listdir("/proc/self/fd"), open("/proc/self/task/%d/children" % os.getpid()).read())
    """
    told = in_process(["unshare", "--user", "--map-root-user"], script).splitlines()
    assert len(told) == 3
    for line in told[:2]:
        assert "uid_map" in line
        assert "has these ids itself" in line
    assert told[2].endswith("] ")


LIMITS = [kind for kind in NamespaceType if kind is not USER]


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.proc_name)
def test_a_limit_on_a_kind_fails_its_making_and_leaves_nothing(kind):
    """The limit is set in a user namespace of the test's own, where it binds nobody else."""
    script = f"""
    kind = T[{kind.name!r}]
    open(f"/proc/sys/user/max_{{kind.proc_name}}_namespaces", "w").write("0")
    Namespace.create(T.UTS if kind is not T.UTS else T.IPC).close()
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        try:
            Namespace.create(kind)
        except StepError as error:
            print(error.step.name, error.errno, "max_" in (error.hint or ""))
            error = None
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert open("/proc/self/task/%d/children" % os.getpid()).read() == ""
    """
    told = in_process(["unshare", "--user", "--map-root-user"], script).splitlines()
    step = "unshare" if kind is TIME else "clone3"
    assert told == [f"{step} 28 True"] * 3


def test_a_limit_on_user_namespaces_fails_ranges_and_single_maps_alike():
    script = """
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    for id_map in (IDMap.root(), IDMap.ranges([(0, 0, 1)])):
        try:
            Namespace.create(T.USER, id_map=id_map)
        except StepError as error:
            print(error.step.name, error.errno)
    assert open("/proc/self/task/%d/children" % os.getpid()).read() == ""
    """
    told = in_process(["unshare", "--user", "--map-root-user"], script).split()
    assert told == ["clone3", "28"] * 2


def test_no_more_descriptors_is_an_error_of_its_own_and_leaves_nothing():
    script = """
    import resource
    Namespace.create(T.UTS).close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    fill = []
    while True:
        try:
            fill.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            break
    for free in range(1, 8):
        os.close(fill.pop())
        before = sorted(os.listdir("/proc/self/fd"))
        for kind in (T.UTS, T.PID, T.USER):
            id_map = IDMap.ranges([(0, 0, 9)]) if kind is T.USER else None
            try:
                Namespace.create(kind, id_map=id_map).close()
                print("made")
            except OSError as error:
                assert error.errno == 24, error
                error = None
            assert sorted(os.listdir("/proc/self/fd")) == before
            assert open("/proc/self/task/%d/children" % os.getpid()).read() == ""
    """
    assert "made" in in_process([], script)
    assert os.getpid() in Namespace.current(USER).pids()
