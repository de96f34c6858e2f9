"""The life of a container: created, started, ended and deleted, by one process or by several."""

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import jsonschema
import pytest
from below import until
from groups import groups_named
from referencing import Registry
from referencing.jsonschema import DRAFT4

import nsbox
from nsbox import Cgroup, NsboxError, StepError, Task, UnsupportedError, reap
from nsbox.oci import Container, HookError, from_config
from nsbox.security import notify

RUNC, BUSYBOX = shutil.which("runc"), shutil.which("busybox")
pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(RUNC is None, reason="needs runc (Debian: runc)"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (Debian: busybox-static)"),
]

RUNTIME = Path(__file__).with_name("runtime.py")
NAME = f"nsbox-test-{os.getpid()}"
STATUS = r"grep -E '^(Uid|Cap...|NoNewPrivs|Seccomp):' /proc/self/status"


@pytest.fixture
def bundle(tmp_path):
    """Return what makes a bundle of a script; `change` is called with its configuration."""
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "data").mkdir()
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    for name in ("sh", "cat", "echo", "grep", "hostname", "id", "ls", "sleep", "tty", "wc"):
        (tree / "bin" / name).symlink_to("busybox")
    subprocess.run([RUNC, "spec", "--bundle", str(tmp_path)], check=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"] |= {"terminal": False}
    config["root"] = {"path": "tree"}
    config["annotations"] = {"org.example": "one"}

    def make(script, change=lambda _: None):
        config["process"]["args"] = ["/bin/sh", "-c", script]
        change(config)
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


@pytest.fixture
def create(bundle, tmp_path):
    """Return what makes a container of a script, with its output in a file beside."""
    made = []

    def make(script, change=lambda _: None, **given):
        with open(tmp_path / "output", "wb") as output:
            made.append(
                Container.create(
                    bundle(script, change), NAME, root=tmp_path / "state", stdout=output, **given
                )
            )
        return made[-1]

    yield make
    for one in made:
        if (tmp_path / "state" / NAME).exists():
            one.delete(force=True)
    assert not (tmp_path / "state").exists() or not os.listdir(tmp_path / "state")
    assert not groups_named(f"nsbox-oci-{NAME}")


def output(tmp_path):
    return (tmp_path / "output").read_text()


def first_output(tmp_path):
    """Wait for what the command says first: it has only begun when `start` comes back."""
    until(lambda: output(tmp_path))
    return output(tmp_path)


def test_a_container_goes_from_created_to_running_to_stopped(create, tmp_path):
    made = create("echo $$; hostname; read line; exit 7", stdin=subprocess.PIPE)
    assert made.state == {
        "ociVersion": "1.1.0",
        "id": NAME,
        "status": "created",
        "pid": made.pid,
        "bundle": str(tmp_path),
        "annotations": {"org.example": "one"},
    }
    assert output(tmp_path) == ""
    made.start()
    assert made.status == "running"
    made.stdin.write(b"\n")
    made.stdin.close()
    assert made.wait(timeout=60) == 7
    assert made.state["status"] == "stopped"
    assert "pid" not in made.state
    made.delete()
    assert output(tmp_path) == "1\nrunc\n"


def test_its_state_is_valid_by_the_schema_of_the_specification(create):
    folder = Path(__file__).parents[1] / "unit/oci/schema"
    files = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    registry = Registry().with_resources(
        [(name, DRAFT4.create_resource(content)) for name, content in files.items()]
    )
    valid = jsonschema.validators.Draft4Validator(files["state-schema.json"], registry=registry)
    made = create("sleep 60")
    valid.validate(made.state)
    made.start()
    valid.validate(made.state)
    made.kill("KILL")
    made.wait(60)
    valid.validate(made.state)
    with pytest.raises(jsonschema.ValidationError):
        valid.validate(made.state | {"status": 1})


def test_deleted_twice_it_leaves_another_of_its_name_alone(create):
    first = create("sleep 60")
    with first:
        first.delete(force=True)
        second = create("sleep 60")
        second.start()
    assert second.status == "running"


def test_a_handle_that_is_closed_still_knows_its_container_and_deletes_it(create, tmp_path):
    with create("sleep 60") as made:
        pid = made.pid
        made.close()
        made.start()
        made.close()
        assert (made.status, made.pid, made.state["pid"]) == ("running", pid, pid)
        made.close()
        assert repr(made) == f"<Container '{NAME}' running>"
        made.kill("KILL")
        made.close()
        assert made.wait(60) == -signal.SIGKILL
        made.close()
    assert not (tmp_path / "state" / NAME).exists()
    assert not os.path.exists(f"/proc/{pid}")
    assert made.status == "stopped"


def test_a_handle_that_is_closed_in_its_block_ends_what_runs(create, tmp_path):
    with create("sleep 60") as made:
        made.start()
        pid = made.pid
        made.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_what_is_not_in_the_right_state_is_refused(create, tmp_path):
    made = create("sleep 60")
    with pytest.raises(ValueError, match=r"delete: .* is created"):
        made.delete()
    with pytest.raises(FileExistsError):
        Container.create(tmp_path, NAME, root=tmp_path / "state")
    made.start()
    with pytest.raises(ValueError, match=r"start: .* is running"):
        made.start()
    with pytest.raises(ValueError, match=r"delete: .* is running"):
        made.delete()
    with pytest.raises(ValueError, match="no signal is named 'BOGUS'"):
        made.kill("BOGUS")
    made.kill("KILL")
    assert made.wait(60) == -signal.SIGKILL
    with pytest.raises(ValueError, match=r"kill: .* is stopped"):
        made.kill()
    with pytest.raises(ProcessLookupError):
        made.run(["/bin/id"])
    with pytest.raises(FileNotFoundError):
        Container.load("missing", root=tmp_path / "state")
    with pytest.raises(ValueError, match=r"^id: "):
        Container.load("../missing", root=tmp_path / "state")


def test_a_bundle_that_changes_after_creation_changes_nothing(create, bundle, tmp_path):
    made = create("echo first; sleep 60")
    bundle("echo second")
    Container.load(NAME, root=tmp_path / "state").start()
    assert made.run(["/bin/echo", "in"]).stdout == b"in\n"
    assert first_output(tmp_path) == "first\n"


def test_a_signal_reaches_the_command(create, tmp_path):
    made = create("trap 'echo told; exit 3' USR1; echo up; while :; do sleep 0.1; done")
    made.start()
    assert first_output(tmp_path) == "up\n"
    made.kill("SIGUSR1")
    assert made.wait(60) == 3
    assert output(tmp_path) == "up\ntold\n"


def pid_of(descriptor):
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))


def test_the_umask_is_the_callers_where_the_bundle_says_none(create, tmp_path):
    before = os.umask(0o027)
    try:
        made = create("umask")
        os.umask(0o077)
        assert made.run(["/bin/sh", "-c", "umask"]).stdout == b"0077\n"
        saying = made.process | {"args": ["/bin/sh", "-c", "umask"], "user": {"umask": 0o20}}
        assert made.run(saying | {"terminal": False}).stdout == b"0020\n"
    finally:
        os.umask(before)
    made.start()
    made.wait(60)
    assert output(tmp_path) == "0027\n"


def test_a_signal_to_all_reaches_each_once(create, monkeypatch):
    made = create("sleep 60 & sleep 60 & wait")
    made.start()
    while len(made.cgroup.pids) < 3:
        time.sleep(0.01)
    send, told = signal.pidfd_send_signal, []

    def send_and_tell(descriptor, number):
        told.append(pid_of(descriptor))
        send(descriptor, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", send_and_tell)
    made.kill("CONT", all=True)
    assert sorted(told) == sorted(made.cgroup.pids)


def test_the_command_has_nothing_open_but_its_streams(create, tmp_path):
    made = create("ls /proc/self/fd; id; " + STATUS)
    made.start()
    made.wait(60)
    assert output(tmp_path).startswith("0\n1\n2\n3\nuid=0 gid=0\n")  # 3 is how ls lists them


def test_descriptors_are_passed_to_the_command(create, tmp_path):
    reading, writing = os.pipe()
    passed = fcntl.fcntl(writing, fcntl.F_DUPFD, 77)
    os.close(writing)
    made = create(f"echo passed >/proc/self/fd/{passed}", pass_fds=[passed])
    os.close(passed)
    made.start()
    assert os.read(reading, 100) == b"passed\n"
    os.close(reading)


def test_a_step_that_fails_leaves_nothing(create, tmp_path):
    with pytest.raises(StepError, match="open_tree"):
        create("true", lambda config: config["root"].update(path="missing"))
    made = create("true", lambda config: config["root"].update(path="tree"))
    made.delete(force=True)


def test_a_program_that_is_missing_is_told_at_the_start(create, tmp_path):
    made = create("true", lambda config: config["process"].update(args=["/bin/missing"]))
    with pytest.raises(FileNotFoundError, match="/bin/missing"):
        made.start()
    assert not (tmp_path / "state" / NAME).exists()


def test_a_folder_that_is_missing_is_told_at_creation(create):
    with pytest.raises(NotADirectoryError):
        create("true", lambda config: config["process"].update(cwd="/bin/sh"))


def test_commands_join_a_container_created_or_running(create, tmp_path):
    made = create("sleep 60")
    for _ in ("created", "running"):
        done = made.run(["/bin/sh", "-c", "hostname; cat /proc/1/cgroup | grep -c nsbox-oci; id"])
        assert done.stdout.startswith(b"runc\n")
        assert b"uid=0 gid=0" in done.stdout
        if made.status == "created":
            made.start()
    process = made.process | {"args": ["/bin/id"], "cwd": "/data", "capabilities": {}}
    process["user"] = {"uid": 5, "gid": 6}
    with made.popen(process, stdout=subprocess.PIPE) as running:
        assert running.communicate()[0] == b"uid=5 gid=6\n"
    pid = made.exec(process | {"args": ["/bin/sh", "-c", "exit $(pwd | wc -c)"]})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == len("/data\n")
    with pytest.raises(FileNotFoundError, match="/bin/missing"):
        made.exec(["/bin/missing"])


def test_no_command_joins_a_container_that_is_frozen(create):
    made = create("sleep 60")
    made.start()
    made.cgroup.freeze()
    try:
        for join in (made.run, made.popen, made.exec):
            with pytest.raises(BlockingIOError, match="frozen"):
                join(["/bin/sh", "-c", ":"])
    finally:
        made.cgroup.thaw()
    assert made.run(["/bin/sh", "-c", ":"]).returncode == 0


def test_what_a_command_leaves_is_process_ones(create):
    made = create("sleep 60")
    made.start()
    orphan = "until grep -q PPid:.1$ /proc/$$/status; do sleep 0.01; done; : >/data/adopted"
    wait = "until [ -e /data/adopted ]; do sleep 0.01; done"
    pid = made.exec(["/bin/sh", "-c", f"(sh -c '{orphan}' &); {wait}"])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_terminal_is_sent_to_whoever_asks(create):
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def with_terminal(config):
            config["process"] |= {"terminal": True, "consoleSize": {"height": 7, "width": 77}}

        with pytest.raises(ValueError, match="console"):
            create("true", with_terminal)
        made = create("tty; busybox stty size; exit 0", with_terminal, console=theirs.fileno())
        _, (terminal,), *_ = socket.recv_fds(ours, 100, 1)
        made.start()
        made.wait(60)
        assert os.read(terminal, 100).split() == [b"/dev/pts/0", b"7", b"77"]
        os.close(terminal)


# Between processes.


def runtime(tmp_path, *args, **options):
    command = [sys.executable, RUNTIME, "--root", tmp_path / "state", *args]
    return subprocess.run(command, text=True, timeout=60, check=False, **options)


def test_each_step_can_be_another_processs(bundle, tmp_path):
    folder = bundle("echo $$; sleep 60")
    with open(tmp_path / "output", "wb") as file:
        created = ("create", "--bundle", folder, "--pid-file", tmp_path / "pid", NAME)
        assert runtime(tmp_path, *created, stdout=file).returncode == 0

    def state():
        return json.loads(runtime(tmp_path, "state", NAME, stdout=subprocess.PIPE).stdout)

    assert state()["status"] == "created"
    assert state()["pid"] == int((tmp_path / "pid").read_text())
    assert runtime(tmp_path, "start", NAME).returncode == 0
    assert state()["status"] == "running"
    assert first_output(tmp_path) == "1\n"
    done = runtime(tmp_path, "exec", NAME, "/bin/sh", "-c", "exit 5")
    assert done.returncode == 5
    again = runtime(tmp_path, "start", NAME, stderr=subprocess.PIPE)
    assert (again.returncode, "is running" in again.stderr) == (1, True)
    assert runtime(tmp_path, "kill", NAME, "KILL").returncode == 0
    while state()["status"] != "stopped":
        time.sleep(0.01)
    assert runtime(tmp_path, "delete", NAME).returncode == 0
    missing = runtime(tmp_path, "state", NAME, stderr=subprocess.PIPE)
    assert "does not exist" in missing.stderr


def test_a_runtime_runs_a_container_from_its_start_to_its_end(bundle, tmp_path):
    folder = bundle("echo ran; exit 6")
    done = runtime(tmp_path, "run", "--bundle", folder, NAME, stdout=subprocess.PIPE)
    assert (done.stdout, done.returncode) == ("ran\n", 6)
    assert os.listdir(tmp_path / "state") == []


def test_a_runtime_tells_what_is_wrong_in_its_log(bundle, tmp_path):
    folder = bundle("true", lambda config: config["linux"].update(mountLabel="one"))
    log = tmp_path / "log"
    create = "create", "--bundle", folder, NAME
    flags = "--log", log, "--log-format", "json"
    assert runtime(tmp_path, *flags, *create, stderr=subprocess.PIPE).returncode == 1
    told = json.loads(log.read_text())
    assert (told["level"], told["msg"]) == ("error", "linux.mountLabel: files are not labelled")
    refused = runtime(tmp_path, "--systemd-cgroup", *create, stderr=subprocess.PIPE)
    assert refused.returncode == 1
    assert "--systemd-cgroup" in refused.stderr
    assert runtime(tmp_path, "delete", "--force", NAME).returncode == 0


def test_of_two_that_start_a_container_one_does(create, tmp_path):
    made = create("echo once; sleep 60")
    outcomes = []

    def start():
        one = Container.load(NAME, root=tmp_path / "state")
        try:
            one.start()
            outcomes.append("started")
        except ValueError:
            outcomes.append("refused")
        finally:
            one.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 3 + ["started"]
    first_output(tmp_path)
    made.kill("KILL")
    made.wait(60)
    assert output(tmp_path) == "once\n"


def test_a_container_whose_maker_is_killed_while_it_is_created_ends(bundle, tmp_path):
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "sleep 1000"], "env": ["PATH=/bin"]}
    folder = bundle("true", lambda config: config.update(hooks={"createRuntime": [hook]}))
    command = [sys.executable, RUNTIME, "--root", tmp_path / "state", "create", "-b", folder, NAME]
    with subprocess.Popen(command, start_new_session=True) as maker:
        while not (tmp_path / "state" / NAME / "state.json").exists():
            time.sleep(0.01)
        while (found := Container.load(NAME, root=tmp_path / "state")).pid is None:
            time.sleep(0.01)
        assert found.status == "creating"
        os.killpg(maker.pid, signal.SIGKILL)
        maker.wait()
    found.wait(timeout=60)
    assert found.status == "stopped"
    found.delete()
    assert os.listdir(tmp_path / "state") == []


def test_what_a_maker_leaves_that_is_killed_at_any_moment_is_removed_by_force(bundle, tmp_path):
    folder = bundle("sleep 60", lambda config: config["linux"].update(cgroupsPath=f"/{NAME}/x"))
    command = [sys.executable, RUNTIME, "--root", tmp_path / "state", "create", "-b", folder, NAME]
    for moment in range(8):
        with subprocess.Popen(command, start_new_session=True) as maker:
            while not (tmp_path / "state" / NAME / "config.json").exists():
                time.sleep(0.001)
            time.sleep(moment / 400)
            os.killpg(maker.pid, signal.SIGKILL)
        found = Container.load(NAME, root=tmp_path / "state")
        assert found.state["status"] in ("creating", "created", "stopped")
        found.delete(force=True)
        assert os.listdir(tmp_path / "state") == []
        assert not groups_named(NAME)


def test_a_group_that_is_there_already_is_left_alone(create, tmp_path):
    with Cgroup.create(NAME, subsystems=["pids"]) as group:
        sleeper = subprocess.Popen(["sleep", "60"])
        group.attach(sleeper.pid)
        hierarchy, path = next(iter(group.folders.items()))
        inside = path.removeprefix(hierarchy.mountpoint)
        with pytest.raises(FileExistsError):
            create("true", lambda config: config["linux"].update(cgroupsPath=inside))
        assert sleeper.poll() is None
        assert sleeper.pid in group.pids
        sleeper.kill()
        sleeper.wait()


def test_without_a_pid_namespace_all_that_is_left_ends_with_the_container(create, tmp_path):
    def shared(config):
        kinds = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [kind for kind in kinds if kind["type"] != "pid"]

    made = create("sleep 61 & echo $!", shared)
    made.start()
    made.wait(60)
    with Task(int(output(tmp_path))) as left:
        assert left.alive
        made.delete()
        assert not left.alive


# Hooks.

MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
ORDER = (*MOMENTS, "poststop")


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def test_hooks_are_run_in_their_order_with_the_state(create, tmp_path):
    log = tmp_path / "tree/data/log"
    inside = {"startContainer": "/data/log"}

    def hooked(config):
        config["hooks"] = {
            name: [
                hook(f'echo "{name} {number} $A $0 $(cat)" >>{inside.get(name, log)}', env=["A=b"])
                for number in (1, 2)
            ]
            for name in ORDER
        }

    made = create("echo command >>/data/log; sleep 60", hooked)
    assert log.read_text().count("\n") == 6
    made.start()
    pid = made.pid
    while "command" not in log.read_text():
        time.sleep(0.01)
    made.delete(force=True)
    lines = log.read_text().splitlines()
    lines.remove("command")
    said = [line.split(" ", 4) for line in lines]
    assert [(name, number) for name, number, *_ in said] == [(n, i) for n in ORDER for i in "12"]
    assert all((a, zeroth) == ("b", "sh") for _, _, a, zeroth, _ in said)
    states = {name: json.loads(state) for name, _, _, _, state in said}
    assert {name: state["status"] for name, state in states.items()} == {
        **dict.fromkeys(ORDER[:3], "creating"),
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    assert [states[name].get("pid") for name in ORDER] == [pid, pid, 1, 1, pid, None]
    assert all(state["id"] == NAME for state in states.values())
    assert all(state["annotations"] == {"org.example": "one"} for state in states.values())


def test_hooks_are_run_in_the_namespaces_that_they_are_for(create, tmp_path):
    """`createContainer` is found on the host and run in the container, before its root is /."""
    program = tmp_path / "where"
    program.write_text("#!/bin/sh\nread -r name </proc/sys/kernel/hostname\necho $1 $name >>$2\n")
    program.chmod(0o755)
    log = tmp_path / "tree/data/log"

    def hooked(config):
        config["hooks"] = {
            name: [{"path": str(program), "args": ["where", name, str(log)]}]
            for name in ORDER
            if name != "startContainer"
        }
        config["hooks"]["startContainer"] = [hook("echo startContainer $(hostname) >>/data/log")]

    made = create("sleep 60", hooked)
    made.start()
    made.delete(force=True)
    host = os.uname().nodename
    outside, within = dict.fromkeys(ORDER, host), dict.fromkeys(ORDER[2:4], "runc")
    assert dict(line.split() for line in log.read_text().splitlines()) == outside | within


def test_a_hook_can_mount_into_the_root_of_the_container(create, tmp_path):
    mount = f"mount -t tmpfs none {tmp_path}/tree/data && echo mounted >{tmp_path}/tree/data/one"
    path = {"env": ["PATH=/usr/bin:/bin:/sbin"]}

    def hooked(config):
        config["hooks"] = {"createContainer": [hook(mount, **path)]}

    made = create("cat /data/one", hooked)
    assert not (tmp_path / "tree/data/one").exists()
    made.start()
    made.wait(60)
    assert output(tmp_path) == "mounted\n"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hook_that_fails_ends_the_container(moment, create, tmp_path):
    def hooked(config):
        config["hooks"] = {
            moment: [hook("echo why >&2; exit 3"), hook("echo two >>/data/never")],
            "poststop": [hook(f"echo stopped >{tmp_path}/stopped")],
        }

    with pytest.raises(HookError, match=rf"hooks.{moment}: /bin/sh: ended with 3: why"):
        create("sleep 60", hooked).start()
    assert not (tmp_path / "state" / NAME).exists()
    assert not (tmp_path / "tree/data/never").exists()
    assert (tmp_path / "stopped").read_text() == "stopped\n"


@pytest.mark.parametrize("moment", ["createRuntime", "createContainer", "startContainer"])
def test_a_hook_that_takes_too_long_ends_the_container(moment, create):
    def hooked(config):
        config["hooks"] = {moment: [hook("while :; do :; done", timeout=1)]}

    with pytest.raises(HookError, match="not done within 1 s"):
        create("sleep 60", hooked).start()


def test_a_hook_that_fails_after_the_end_is_a_warning(create, tmp_path):
    def hooked(config):
        stopped = hook(f"echo stopped >{tmp_path}/stopped")
        config["hooks"] = {"poststop": [hook("exit 3"), stopped]}

    made = create("sleep 60", hooked)
    with pytest.warns(UserWarning, match=r"hooks.poststop: /bin/sh: ended with 3"):
        made.delete(force=True)
    assert (tmp_path / "stopped").exists()


def test_a_hook_that_is_missing_is_named(create):
    with pytest.raises(HookError, match=r"hooks.prestart: /missing/hook: .*No such file"):
        create(
            "true", lambda config: config.update(hooks={"prestart": [{"path": "/missing/hook"}]})
        )


# What `Security` has no word for.

FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
}


@pytest.mark.parametrize("ambient", [False, True], ids=["", "ambient"])
@pytest.mark.parametrize("user", [0, 12])
def test_a_filter_holds_for_a_command_that_may_gain_privileges(user, ambient, create, tmp_path):
    def filtered(config):
        config["process"] |= {"noNewPrivileges": False, "user": {"uid": user, "gid": user}}
        capabilities = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
        config["process"]["capabilities"] = dict.fromkeys(
            ("bounding", "effective", "permitted"), capabilities
        )
        if ambient:
            own = {name: ["CAP_KILL"] for name in ("ambient", "inheritable")}
            config["process"]["capabilities"] |= own
        config["linux"]["seccomp"] = FILTER

    look = f"{STATUS}; busybox mkdir /data/a 2>&1 | grep -o 'not implemented'"
    made = create(look, filtered)
    joined = made.run(["/bin/sh", "-c", look]).stdout.decode()
    made.start()
    made.wait(60)
    said = output(tmp_path)
    assert said == joined
    kept = "0000000000000020" if ambient and user else "0" * 16
    bounding, effective = "00000000000000e1", "00000000000000e1" if user == 0 else kept
    found = dict(line.split(":\t") for line in said.splitlines()[:-1])
    assert found == {
        "Uid": f"{user}\t{user}\t{user}\t{user}",
        "CapInh": kept,
        "CapPrm": effective,
        "CapEff": effective,
        "CapBnd": bounding,
        "CapAmb": kept,
        "NoNewPrivs": "0",
        "Seccomp": "2",
    }
    assert said.endswith("not implemented\n")


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_an_agent_is_asked_about_system_calls(no_new_privs, create, tmp_path):
    told = []

    def agent(server):
        for _ in ("the container", "a command in it"):
            connection, _ = server.accept()
            with connection:
                text, (listener,), *_ = socket.recv_fds(connection, 1 << 16, 1)
            told.append(json.loads(text))
            threading.Thread(target=answer, args=(listener,)).start()

    def answer(listener):
        notify._answer(listener, refuse)
        os.close(listener)

    def refuse(call):
        raise OSError(errno.EXDEV, call.name)

    def asking(config):
        config["process"]["noNewPrivileges"] = no_new_privs
        rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [rule],
            "listenerPath": str(tmp_path / "agent"),
            "listenerMetadata": "words",
        }

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        server.listen()
        thread = threading.Thread(target=agent, args=(server,))
        thread.start()
        made = create("busybox mkdir /data/a 2>&1; sleep 60", asking)
        made.start()
        pid = made.exec(["/bin/sh", "-c", "busybox mkdir /data/b 2>/dev/null; exit $?"])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        thread.join()
    assert "Invalid cross-device link" in first_output(tmp_path)
    assert [one["pid"] for one in told] == [made.pid, pid]
    first = told[0]
    assert (first["fds"], first["metadata"]) == (["seccompFd"], "words")
    assert first["state"]["id"] == NAME


def test_groups_beside_the_first_are_the_commands(create, tmp_path):
    user = {"uid": 7, "gid": 8, "additionalGids": [9, 10]}
    made = create("id", lambda config: config["process"].update(user=user, capabilities={}))
    made.start()
    made.wait(60)
    assert output(tmp_path) == "uid=7 gid=8 groups=9,10\n"


def test_the_group_is_where_the_path_says_with_its_limits(create, tmp_path):
    def limited(config):
        config["linux"]["cgroupsPath"] = f"/{NAME}/below"
        config["linux"]["resources"]["pids"] = {"limit": 41}

    made = create("sleep 60", limited)
    folders = made.cgroup.folders.values()
    assert all(folder.endswith(f"/{NAME}/below") for folder in folders)
    assert made.cgroup.resources.pids_max == 41
    assert made.pid in made.cgroup.pids
    made.delete(force=True)
    assert not any(os.path.exists(os.path.dirname(folder)) for folder in folders)


def test_the_clocks_of_a_container_are_ahead(create, tmp_path):
    def ahead(config):
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1_000_000, "nanosecs": 5}}
        spec, _ = from_config(config, bundle=tmp_path)
        done = nsbox.run(["/bin/cat", "/proc/self/timens_offsets"], spec, capture_output=True)
        assert b"1000000 " in done.stdout

    made = create("cat /proc/uptime", ahead)
    joined = made.run(["/bin/cat", "/proc/uptime"]).stdout
    made.start()
    made.wait(60)
    own = float(Path("/proc/uptime").read_text().split()[0])
    for text in (joined, output(tmp_path)):
        assert 999_000 < float(text.split()[0]) - own < 1_001_000


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")
def test_devices_of_the_hosts_are_there_and_work_where_they_are_allowed(create, tmp_path):
    device = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}

    def with_device(config):
        config["linux"]["devices"] = [device]
        allowed = {name: value for name, value in device.items() if name != "path"}
        rules = [{"allow": False, "access": "rwm"}, {"allow": True, "access": "r", **allowed}]
        config["linux"]["resources"]["devices"] = rules

    made = create(
        "ls -l /dev/fuse; (: </dev/fuse) && echo read; (: >/dev/fuse) 2>&- || echo no", with_device
    )
    made.start()
    made.wait(60)
    assert " 10, 229 " in output(tmp_path)
    assert output(tmp_path).endswith("read\nno\n")


def test_a_container_whose_device_has_gone_is_found_and_ended(create, tmp_path):
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def with_device(config):
        config["linux"]["devices"] = [{"path": str(device), "type": "c", "major": 1, "minor": 3}]
        config["hooks"] = {"poststop": [hook(f"cat >{tmp_path}/told")]}

    made = create("sleep 60", with_device)
    device.unlink()
    found = Container.load(NAME, root=tmp_path / "state")
    assert found.state == made.state
    with pytest.raises(UnsupportedError, match=r"^linux.devices\[0\]: "):
        found.start()
    found.kill("KILL")
    found.wait(60)
    found.delete()
    made.close()
    told = json.loads((tmp_path / "told").read_text())
    assert (told["id"], told["annotations"]) == (NAME, {"org.example": "one"})


def test_commands_that_join_run_on_the_processors_that_are_for_them(create):
    first = min(os.sched_getaffinity(0))
    made = create(
        "sleep 60",
        lambda config: config["process"].update(execCPUAffinity={"final": str(first)}),
    )
    look = made.run(["/bin/grep", "Cpus_allowed_list", "/proc/self/status"]).stdout
    assert look.split() == [b"Cpus_allowed_list:", str(first).encode()]
    assert len(os.sched_getaffinity(made.pid)) == len(os.sched_getaffinity(0))


def test_a_personality_is_the_commands(create, tmp_path):
    made = create(
        "cat /proc/self/personality",
        lambda config: config["linux"].update(personality={"domain": "LINUX32"}),
    )
    made.start()
    made.wait(60)
    assert output(tmp_path) == "00000008\n"


def test_reaping_leaves_containers_alone_whose_maker_has_ended(bundle, tmp_path):
    folder = bundle("sleep 60")
    assert runtime(tmp_path, "run", "--detach", "--bundle", folder, NAME).returncode == 0
    found = Container.load(NAME, root=tmp_path / "state")
    assert not any(NAME in str(one) for one in reap())
    assert found.status == "running"
    assert found.cgroup.exists
    found.delete(force=True)
    assert not found.cgroup.exists


def test_errors_are_of_the_library(create):
    with pytest.raises(NsboxError, match=r"^linux.intelRdt: "):
        create("true", lambda config: config["linux"].update(intelRdt={"closID": "one"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repr(create("true", lambda config: config["linux"].pop("intelRdt")))
