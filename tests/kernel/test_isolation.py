"""What a box sees is a machine of its own, and nothing of its starter's."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, NamespaceType
from nsbox.security.capabilities import DEFAULT_CAPABILITIES

SPEC = BoxSpec(hostname="inside")


def sh(script: str, spec: BoxSpec = SPEC) -> str:
    done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def status(spec: BoxSpec = SPEC) -> dict[str, str]:
    lines = sh("cat /proc/self/status", spec).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.guest
@pytest.mark.parametrize("kind", list(NamespaceType), ids=lambda kind: kind.proc_name)
def test_each_kind_of_namespace_is_new_where_asked_and_the_hosts_where_not(
    kind: NamespaceType,
) -> None:
    own = os.readlink(f"/proc/self/ns/{kind.proc_name}")
    script = f"readlink /proc/self/ns/{kind.proc_name}"
    assert sh(script, BoxSpec(namespaces=nsbox.ISOLATED | {kind: Choice.NEW})).strip() != own
    if kind in (NamespaceType.MNT, NamespaceType.PID, NamespaceType.USER):
        return  # the host's mnt is refused, its pid and user ask for rights: tested elsewhere
    host = BoxSpec(namespaces=nsbox.ISOLATED | {kind: Choice.HOST})
    assert sh(script, host).strip() == own


@pytest.mark.parametrize("choices", [{}, {NamespaceType.MNT: Choice.HOST}])
def test_the_hosts_mounts_stay_as_they_are(choices: dict[NamespaceType, Choice]) -> None:
    with pytest.raises(ValueError, match="rootfs"):
        BoxSpec(namespaces=choices, rootfs=nsbox.RootFS.directory("/"))
    mounts = Path("/proc/self/mountinfo").read_text()
    done = nsbox.run(
        ["cat", "/proc/self/mountinfo"], BoxSpec(namespaces=choices), capture_output=True, text=True
    )
    assert done.stdout == mounts


def test_the_host_cannot_be_renamed() -> None:
    with pytest.raises(ValueError, match="hostname"):
        BoxSpec(hostname="x", namespaces=nsbox.ISOLATED | {NamespaceType.UTS: Choice.HOST})


def test_the_host_name_is_the_boxs_own() -> None:
    before = socket.gethostname()
    assert sh("hostname; uname -n").split() == ["inside", "inside"]
    assert socket.gethostname() == before


@pytest.mark.guest
def test_no_process_of_the_host_is_seen() -> None:
    pids = sh("ls /proc | grep '^[0-9]'").split()
    assert "1" in pids
    assert len(pids) <= 4
    assert sh("cat /proc/1/comm") == "nsbox-init\n"


@pytest.mark.guest
def test_without_a_first_process_the_command_is_process_1() -> None:
    assert sh("echo $$", BoxSpec(init=False)) == "1\n"


@pytest.mark.guest
def test_the_network_is_a_loopback_that_is_up() -> None:
    names = [line.split(":")[0].strip() for line in sh("cat /proc/net/dev").splitlines()[2:]]
    assert names == ["lo"]
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 80)); "
        "c = socket.create_connection(('127.0.0.1', 80), 2); print(c.getpeername()[1])"
    )
    assert sh(f'/usr/bin/python3 -c "{script}"') == "80\n"


def test_the_hosts_network_is_there_on_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        command = ["/usr/bin/python3", "-c", script]
        host = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.NET: Choice.HOST})
        assert nsbox.run(command, host).returncode == 0
        assert nsbox.run(command, stderr=nsbox.DEVNULL).returncode == 1


def test_the_root_is_the_system_without_anybodys_data() -> None:
    assert set(sh("ls /").split()) <= {
        *("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"),
    }
    assert "shadow" not in sh("ls -a /etc")
    assert "private" not in sh("ls -a /etc/ssl")


@pytest.mark.guest
def test_only_tmp_and_shm_can_be_written_to() -> None:
    assert sh("echo 1 > /tmp/x; echo 2 > /dev/shm/y; cat /tmp/x /dev/shm/y") == "1\n2\n"
    for place in ("/", "/usr", "/etc", "/bin", "/proc/sys/kernel", "/proc"):
        done = nsbox.run(["sh", "-c", f"echo x > {place}/nsbox-probe"], stderr=nsbox.DEVNULL)
        assert done.returncode != 0, place
    assert not list(Path("/tmp").glob("nsbox-probe"))


def test_tmp_is_private() -> None:
    sh("echo mine > /tmp/nsbox-private")
    assert not Path("/tmp/nsbox-private").exists()
    assert "nsbox-private" not in sh("ls /tmp")


def test_devices_work() -> None:
    assert sh(
        "head -c 3 /dev/zero | wc -c; echo x > /dev/null; head -c 4 /dev/urandom | wc -c"
    ) == ("3\n4\n")
    assert sh("echo x > /dev/full || echo full") == "full\n"
    assert sh("echo hello > /dev/stdout; cat /dev/fd/0 < /dev/null") == "hello\n"
    names = set(sh("ls /dev").split())
    assert names == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero"),
    }


def test_a_terminal_can_be_made() -> None:
    script = "import pty, os; m, s = pty.openpty(); print(os.ttyname(s))"
    assert sh(f"/usr/bin/python3 -c '{script}'") == "/dev/pts/0\n"


@pytest.mark.guest
def test_parts_of_proc_that_tell_of_the_host_are_masked() -> None:
    for name in ("keys", "timer_list", "kcore", "sched_debug"):
        if Path("/proc", name).exists():
            assert sh(f"cat /proc/{name}") == "", name
    for name in ("acpi", "scsi", "asound"):
        if Path("/proc", name).exists():
            assert sh(f"ls /proc/{name}") == "", name


@pytest.mark.guest
def test_parts_of_proc_that_set_the_host_are_read_only() -> None:
    mounts = sh("cat /proc/self/mountinfo")
    for name in ("bus", "fs", "irq", "pressure", "sys", "sysrq-trigger"):
        if Path("/proc", name).exists():
            line = next(line for line in mounts.splitlines() if line.split()[4] == f"/proc/{name}")
            assert line.split()[5].startswith("ro"), line


@pytest.mark.guest
def test_nothing_of_the_host_is_left_mounted() -> None:
    seen = {line.split()[4] for line in sh("cat /proc/self/mountinfo").splitlines()}
    top = {"/" + point.strip("/").partition("/")[0] for point in seen}
    assert top <= {"/", "/usr", "/etc", "/proc", "/dev", "/tmp", "/bin", "/lib", "/lib64", "/sbin"}


def test_only_standard_descriptors_are_open() -> None:
    with open("/etc/hostname") as leak:
        os.set_inheritable(leak.fileno(), True)
        assert set(sh("ls /proc/self/fd").split()) <= {"0", "1", "2", "3"}
        done = nsbox.run(["cat", f"/proc/self/fd/{leak.fileno()}"], stderr=nsbox.DEVNULL)
        assert done.returncode != 0


def test_the_callers_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSBOX_TEST_SECRET", "do not tell")
    assert "do not tell" not in sh("env; cat /proc/[0-9]*/environ 2>/dev/null; true")
    assert "PATH=" in sh("env")


def test_signals_begin_as_they_are_by_default() -> None:
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        for spec in (SPEC, BoxSpec(init=False)):
            found = status(spec)
            assert int(found["SigIgn"], 16) == 0
            assert int(found["SigBlk"], 16) == 0
    finally:
        signal.signal(signal.SIGUSR1, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.guest
@pytest.mark.parametrize("spec", [SPEC, BoxSpec(init=False)], ids=["init", "no-init"])
def test_rights_are_bounded(spec: BoxSpec) -> None:
    found = status(spec)
    assert found["NoNewPrivs"] == "1"
    assert int(found["CapInh"], 16) == 0
    assert int(found["CapAmb"], 16) == 0
    for field in ("CapBnd", "CapEff", "CapPrm"):
        assert int(found[field], 16) & ~DEFAULT_CAPABILITIES == 0


def test_the_session_and_umask_are_the_boxs_own() -> None:
    before = os.umask(0o077)
    try:
        assert sh("umask") == "0022\n"
    finally:
        os.umask(before)
    look = ["cut", "-d ", "-f1,5,6", "/proc/self/stat"]  # its pid, its group, its session
    done = nsbox.run(look, capture_output=True, text=True)
    assert done.stdout == "2 2 1\n"  # the session of the first process, which has no terminal
    done = nsbox.run(look, BoxSpec(init=False), capture_output=True, text=True)
    assert done.stdout == "1 1 1\n"


@pytest.mark.guest
def test_a_user_namespace_on_request_maps_the_caller_to_root_or_to_itself() -> None:
    asked = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW})
    assert sh("id -u; id -g", asked).split() == ["0", "0"]
    assert sh("cat /proc/self/uid_map", asked).split() == ["0", str(os.geteuid()), "1"]
    same = BoxSpec(namespaces=asked.namespaces, id_map=IDMap.same())
    assert sh("id -u; id -g", same).split() == [str(os.geteuid()), str(os.getegid())]
    other = BoxSpec(namespaces=asked.namespaces, id_map=IDMap(1234, gid=4321))
    assert sh("id -u; id -g", other).split() == ["1234", "4321"]
    assert int(status(other)["CapEff"], 16) == 0


def test_a_host_name_stays_the_hosts_in_the_hosts_uts_namespace() -> None:
    spec = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.UTS: Choice.HOST})
    assert sh("hostname", spec).strip() == socket.gethostname()


def test_subprocess_sees_no_trace_of_a_box() -> None:
    before = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, check=True).stdout
    sh("true")
    after = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, check=True).stdout
    assert before == after


@pytest.mark.usefixtures("root")
def test_a_box_has_kernel_parameters_and_a_domain_of_its_own() -> None:
    def look() -> tuple[str, str]:
        with open("/proc/sys/net/ipv4/ip_forward") as one, open("/proc/sys/kernel/shmmni") as two:
            return one.read(), two.read()

    before = look()
    spec = BoxSpec(
        domainname="domain.example", sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmni": "77"}
    )
    script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni kernel/domainname"
    for _ in range(3):  # the later ones by a copy of the root
        done = nsbox.run(["sh", "-c", script], spec, capture_output=True, text=True)
        assert done.stdout == "1\n77\ndomain.example\n"
    assert look() == before
