"""What is likely missing when a step fails: each row, and no sentence where nothing is known."""

import errno
import itertools

import pytest

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import AtFlag, CloneFlag, ConfigCommand
from nsbox.hints import hint
from nsbox.host.report import report
from nsbox.plan import Slot, Step
from nsbox.system_calls import SINCE

USER = Step(Operation.CLONE3, (CloneFlag.CLONE_NEWUSER | CloneFlag.CLONE_NEWNS,))
PRIVILEGED = Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNS,))
UID_MAP = Step(Operation.WRITE, ("/proc/self/uid_map", b"0 1000 1"))
SOURCE = Step(Operation.OPEN_TREE, (Slot.TREE, Slot.CWD, "/no/such", AtFlag.OPEN_TREE_CLONE))
CREATE = ConfigCommand.FSCONFIG_CMD_CREATE
EXAMPLES = {
    "slot": Slot.ROOT,
    "into": Slot.TREE,
    "text": "some/path",
    "data": b"bytes",
    "number": CloneFlag.CLONE_NEWUSER,
    "shown": "command",
}

SWITCHED_OFF = {
    "Debian's switch": (
        {"/proc/sys/kernel/unprivileged_userns_clone": "0\n"},
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    "AppArmor": (
        {
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
            "/proc/thread-self/attr/current": "unconfined\n",
        },
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    "the limit": (
        {"/proc/sys/user/max_user_namespaces": "0\n"},
        "sysctl -w user.max_user_namespaces=10000",
    ),
}


@pytest.fixture
def on_host(make_host, monkeypatch):
    """Let the hints look at another host than this one, whose switches are as they are."""

    def look_at(files=None):
        found = report(make_host(files))
        monkeypatch.setattr("nsbox.host.probe", lambda: found)

    return look_at


@pytest.mark.parametrize("obstacle", SWITCHED_OFF)
@pytest.mark.parametrize("step", [USER, UID_MAP], ids=str)
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES], ids=errno.errorcode.get)
def test_what_blocks_user_namespaces_is_named_with_its_remedy(on_host, step, number, obstacle):
    files, remedy = SWITCHED_OFF[obstacle]
    on_host(files)
    sentence = hint(step, number)
    assert sentence is not None
    assert sentence.startswith("hint: ")
    assert remedy in sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EUSERS], ids=errno.errorcode.get)
def test_a_limit_on_namespaces_is_named_with_its_remedy(on_host, number):
    on_host({"/proc/sys/user/max_net_namespaces": "0\n"})
    step = Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNET | CloneFlag.CLONE_NEWNS,))
    assert "sysctl -w user.max_net_namespaces=10000" in (hint(step, number) or "")
    on_host({"/proc/sys/user/max_net_namespaces": "1\n"})
    assert "/proc/sys/user" in (hint(step, number) or "")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EUSERS], ids=errno.errorcode.get)
def test_a_limit_is_not_taken_for_a_lack_of_rights(on_host, number):
    on_host()
    assert "CAP_SYS_ADMIN" not in (hint(PRIVILEGED, number) or "")


def test_a_kind_of_namespace_that_the_kernel_lacks_is_named(on_host):
    on_host({"/proc/self/ns/time": None})
    step = Step(Operation.CLONE3, (CloneFlag.CLONE_NEWTIME,))
    assert "CONFIG_TIME_NS" in (hint(step, errno.EINVAL) or "")
    assert "CONFIG_TIME_NS" not in (hint(step, errno.ENOSPC) or "")


def test_a_refused_user_namespace_without_a_known_reason_has_a_hint_too(on_host):
    on_host()
    assert "seccomp" in (hint(USER, errno.EPERM) or "")
    assert "dumpable" in (hint(UID_MAP, errno.EPERM) or "")


def test_a_box_without_a_user_namespace_needs_rights():
    assert "CAP_SYS_ADMIN" in (hint(PRIVILEGED, errno.EPERM) or "")


JOIN = Step(Operation.SETNS, (Slot.NS_NET, "net:[4026532180]", CloneFlag.CLONE_NEWNET))
CLOCKS = Step(Operation.WRITE, ("/proc/self/timens_offsets", b"boottime 5 0\n"))
RANGES = Step(Operation.WRITE, ("/proc/4711/uid_map", b"0 100000 65536"))


@pytest.mark.parametrize(
    ("step", "number", "words"),
    [
        (JOIN, errno.EPERM, "CAP_SYS_ADMIN"),
        (JOIN, errno.EINVAL, "already"),
        (JOIN, errno.EUSERS, "threads"),
        (RANGES, errno.EPERM, "CAP_SETFCAP"),
        (RANGES, errno.EINVAL, "CAP_SETUID"),
        (CLOCKS, errno.EPERM, "CAP_SYS_TIME"),
        (CLOCKS, errno.ERANGE, "at 0 or above"),
        (Step(Operation.UNSHARE, (CloneFlag.CLONE_NEWNET,)), errno.EPERM, "CAP_SYS_ADMIN"),
        (Step(Operation.SETRESUID, (5, 5, 5)), errno.EINVAL, "id_map"),
        (Step(Operation.SETRESGID, (5, 5, 5)), errno.EINVAL, "id_map"),
    ],
    ids=str,
)
def test_what_it_takes_to_join_and_to_map_is_said(on_host, step, number, words):
    on_host()
    assert words in (hint(step, number) or "")


def test_a_write_to_another_file_is_not_taken_for_a_map():
    step = Step(Operation.WRITE, ("/sys/fs/cgroup/nsbox/pids.max", b"9"))
    assert hint(step, errno.EPERM) is None
    assert hint(step, errno.EINVAL) is None
    assert hint(step, errno.ERANGE) is None


def test_a_command_by_name_is_missing_in_the_path_of_the_box():
    sentence = hint(Step(Operation.EXECVE, ("gcc", ("gcc",))), errno.ENOENT)
    assert sentence == "hint: 'gcc' is in no folder of the PATH that the box's environment gives"


def test_a_command_by_path_is_missing_in_the_root_or_lacks_its_interpreter():
    sentence = hint(Step(Operation.EXECVE, ("/opt/tool", ("/opt/tool",))), errno.ENOENT) or ""
    assert "/opt/tool" in sentence
    assert "interpreter" in sentence


def test_a_file_that_is_no_program_is_named():
    step = Step(Operation.EXECVE, ("/etc/passwd", ("/etc/passwd",)))
    assert "/etc/passwd" in (hint(step, errno.EACCES) or "")


def test_a_missing_mount_source_is_named():
    assert hint(SOURCE, errno.ENOENT) == (
        "hint: /no/such does not exist on the host, and so cannot be shown in the box"
    )


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    "step",
    [
        Step(Operation.MKDIRAT, (Slot.ROOT, "srv/data", 0o755)),
        Step(Operation.OPENAT, (Slot.ROOT, "srv/data", 0o644, b"")),
    ],
    ids=str,
)
def test_a_mount_point_that_cannot_be_made_is_named(step, number):
    assert "'srv/data'" in (hint(step, number) or "")


@pytest.mark.parametrize(
    ("step", "number", "word"),
    [
        (Step(Operation.MOVE_MOUNT, (Slot.TREE, Slot.ROOT, "srv")), errno.ENOENT, "mount point"),
        (Step(Operation.FSCONFIG, (Slot.CONTEXT, CREATE, "", "")), errno.EPERM, "/proc"),
        (Step(Operation.FSMOUNT, (Slot.TREE, Slot.CONTEXT, 0)), errno.EPERM, "/proc"),
        (Step(Operation.FSOPEN, (Slot.CONTEXT, "tmpfs")), errno.EPERM, "CAP_SYS_ADMIN"),
        (
            Step(Operation.MOUNT_SETATTR, (Slot.CWD, "/", 0, 0, 0, 0)),
            errno.EPERM,
            "CAP_SYS_ADMIN",
        ),
    ],
    ids=str,
)
def test_refused_mounts_have_a_hint(on_host, step, number, word):
    on_host()
    assert word in (hint(step, number) or "")


def example_of(operation):
    return Step(operation, tuple(EXAMPLES[kind] for _, kind in operation.operands))


@pytest.mark.parametrize("operation", Operation, ids=lambda item: item.name)
def test_a_kernel_without_the_call_is_said_to_be_too_old(operation):
    step = example_of(operation)
    sentence = hint(step, errno.ENOSYS) or ""
    assert sentence.startswith("hint: this kernel has no ")
    if version := SINCE.get(step.name):
        since = "{}.{}".format(*version)
        assert f"no {step.name} (it came with Linux {since})" in sentence


def test_each_call_of_a_certain_age_is_one_of_the_kernels():
    assert SINCE.keys() <= _native.syscalls().keys()


def test_a_hint_is_a_sentence_or_nothing_for_every_step_and_errno(on_host):
    on_host()
    found = 0
    for operation, number in itertools.product(Operation, errno.errorcode):
        sentence = hint(example_of(operation), number)
        assert sentence is None or sentence.startswith("hint: ")
        found += sentence is not None
    assert found > len(Operation)


def test_where_nothing_is_known_there_is_no_hint():
    assert hint(Step(Operation.SETSID), errno.EPERM) is None
    assert hint(Step(Operation.CHDIR, ("/gone",)), errno.EIO) is None
    assert hint(Step(Operation.WRITE, ("/sys/fs/cgroup/x/cgroup.procs", b"0")), errno.EIO) is None
