"""Programs that mean harm, in strict boxes: they harm themselves, and the host is as before."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import nsbox
from nsbox import BoxSpec, Mount, _native

SHELL = {
    "fork bomb": "b() { b | b & }; b; sleep 1",
    "fork bomb that detaches": "b() { setsid sh -c 'while :; do setsid sleep 99 & done' & b; }; b",
    "memory hog": "head -c 400M /dev/zero | tail -c 399M",
    "file hog": "head -c 400M /dev/zero > /tmp/file",
    "shared memory hog": "head -c 400M /dev/zero > /dev/shm/file",
    "signal storm": "i=0; while [ $i -lt 200 ]; do kill -9 -1; i=$((i+1)); done",
    "signals to the first process": "for s in KILL STOP TERM SEGV RTMAX; do kill -$s 1; done; sleep 0.2",
    "ptrace": "cat /proc/1/mem /proc/1/maps /proc/1/environ",
    "proc walk": "find /proc -maxdepth 3 -name root -exec ls {} + ; cat /proc/*/root/etc/shadow",
    "keys": "cat /proc/keys; test -s /proc/keys",
    "set-user-ID programs": "su -c id; mount -t tmpfs none /tmp; passwd -d root",
    "links in tmp": "ln -s / /tmp/root; ls /tmp/root/root; ln /etc/shadow /tmp/shadow",
}

PYTHON = {
    "locked memory": (
        "import ctypes, mmap\nlibc = ctypes.CDLL(None)\n"
        "kept = []\n"
        "while len(kept) < 400:\n"
        "    kept.append(mmap.mmap(-1, 1 << 20)); kept[-1][:] = b'x' * (1 << 20)\n"
        "    libc.mlockall(3)\n"
    ),
    "memfd hog": (
        "import os\n"
        "while True:\n"
        "    fd = os.memfd_create('x')\n"
        "    for _ in range(64): os.write(fd, b'x' * (1 << 20))\n"
    ),
    "descriptor hog": (
        "import os, resource, select\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536),) * 2)\n"
        "os.fork(); os.fork()\n"
        "while True:\n"
        "    reading, writing = os.pipe(); os.set_blocking(writing, False)\n"
        "    try: os.write(writing, b'x' * 65536)\n"
        "    except BlockingIOError: pass\n"
        "    select.epoll().register(reading)\n"
    ),
    "threads": (
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=(99,)).start()\n"
    ),
    "zombies": "import os\nwhile True:\n    if os.fork() == 0: os._exit(0)\n",
    "files without end": (
        "number = 0\nwhile True:\n    open(f'/tmp/{number}', 'w').close(); number += 1\n"
    ),
    "sockets to itself": (
        "import socket\nkept = []\n"
        "while True:\n"
        "    one, two = socket.socketpair(); one.setblocking(False); kept += [one, two]\n"
        "    try:\n"
        "        while True: one.send(b'x' * 65536)\n"
        "    except BlockingIOError: pass\n"
    ),
    "deep recursion": (
        "import sys, threading\n"
        "sys.setrecursionlimit(1 << 30); threading.stack_size(1 << 29)\n"
        "def down(): down()\n"
        "threading.Thread(target=down).start()\n"
    ),
}

REFUSED = """
    acct add_key bpf clock_settime clone3 delete_module fanotify_init finit_module fsconfig fsmount
    fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mknod mount mount_setattr move_mount
    move_pages migrate_pages nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd
    pivot_root process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key
    set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs
    syslog umount2 unshare userfaultfd uselib ustat vhangup
"""

WITHIN = {
    *("kcmp", "mknod", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"),
    "socket 17",
}
"""Of these, what the default leaves to programs: within the box, that is all they reach."""

CALLS = r"""
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
reached = []

def tried(name, *arguments):
    ctypes.set_errno(0)
    answer = libc.syscall(*map(ctypes.c_long, arguments))
    number = ctypes.get_errno()
    if answer >= 0 or number not in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT):
        reached.append([name, answer, errno.errorcode.get(number)])

numbers = json.loads(sys.argv[1])
for name, number in numbers["refused"].items():
    tried(name, number, 0, 0, 0, 0, 0, 0)
CLONE = {"NS": 0x20000, "CGROUP": 0x2000000, "UTS": 0x4000000, "IPC": 0x8000000,
         "USER": 0x10000000, "PID": 0x20000000, "NET": 0x40000000, "TIME": 0x80}
for name, flag in CLONE.items():
    if name != "TIME":
        tried(f"clone {name}", numbers["clone"], flag | 17, 0, 0, 0, 0)
    tried(f"unshare {name}", numbers["unshare"], flag)
for family in (16, 17, 38, 40):  # netlink: to be had, and checked below; packet, alg, vsock
    if family != 16:
        tried(f"socket {family}", numbers["socket"], family, 3, 0)
tried("personality", numbers["personality"], 0x0040000)
for request in (0x5412, 0x541C):  # TIOCSTI, TIOCLINUX
    tried(f"ioctl {request:x}", numbers["ioctl"], 0, request, 0)
    tried(f"ioctl {request:x} in the high half", numbers["ioctl"], 0, request | 1 << 32, 0)
print(json.dumps(reached))
"""

WALK = r"""
import json, os, stat
opened, read = [], 0
own = {str(os.getpid()), "self", "thread-self"}
for top in ("/proc", "/sys", "/dev", "/etc", "/usr"):
    for folder, names, files in os.walk(top):
        if folder == "/proc":
            names[:] = [name for name in names if name not in own]
        for name in files:
            path = f"{folder}/{name}"
            try:
                kind = os.lstat(path).st_mode
                if stat.S_ISREG(kind) and kind & 0o222:  # others have nothing that takes a write
                    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                    os.close(fd)
                    opened.append(path)
            except OSError:
                pass
            if top == "/proc" and stat.S_ISREG(kind):
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    read += len(os.read(fd, 4096))
                    os.close(fd)
                except OSError:
                    pass
print(json.dumps([opened, read > 0]))
"""


@pytest.fixture
def strict(strict: BoxSpec) -> BoxSpec:
    return attrs.evolve(strict, resources=attrs.evolve(strict.resources, cpu_max=0.5))


SETTINGS = ("kernel/hostname", "kernel/panic", "kernel/core_pattern", "vm/overcommit_memory")


def host() -> dict[str, object]:
    """What a program that gets out could have changed; the rest is seen to after each test."""
    memory = {
        line.split(":")[0]: int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
    }
    return {
        "settings": [Path("/proc/sys", name).read_text() for name in SETTINGS],
        # Of those looks the one between whose halves least time has passed.
        "clock": max(time.time() - time.monotonic() for _ in range(10)),
        "limits": Path("/proc/self/limits").read_text(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "passwd": Path("/etc/passwd").read_bytes(),
        "memory": memory["MemAvailable"] + memory["AnonPages"],  # which only processes have
    }


@pytest.fixture
def unharmed() -> Iterator[None]:
    before = host()
    yield
    deadline = time.monotonic() + 60
    while host()["memory"] < before["memory"] - (128 << 10) and time.monotonic() < deadline:
        time.sleep(0.05)  # what was freed is not at once seen to be free
    after = host()
    assert after.pop("memory") > before.pop("memory") - (512 << 10)  # others live here as well
    assert after.pop("clock") == pytest.approx(before.pop("clock"), abs=0.5)
    assert after == before


def attack(command: list[str], spec: BoxSpec, seconds: float = 2) -> bytes:
    """Return what it puts out. It has these seconds from its first words on, which may be late."""
    with nsbox.popen(command, spec, stdout=nsbox.PIPE, stderr=nsbox.PIPE) as process:
        first = os.read(process.stdout.fileno(), 1 << 16)  # a buffer would keep what follows
        try:
            rest = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as error:
            rest = error.stdout or b""
    return first + bytes(rest)  # and the box is gone: the check after each test sees to that


@pytest.mark.parametrize("script", SHELL.values(), ids=SHELL.keys())
def test_a_hostile_script_harms_nobody_but_itself(
    strict: BoxSpec, unharmed: None, script: str
) -> None:
    shown = attack(["sh", "-c", "echo began; " + script], strict)
    assert shown.startswith(b"began\n")
    assert not re.search(rb"(?m)^root:", shown)  # as a file of passwords begins


@pytest.mark.parametrize("program", PYTHON.values(), ids=PYTHON.keys())
def test_a_hostile_program_harms_nobody_but_itself(
    strict: BoxSpec, unharmed: None, program: str
) -> None:
    began = "print('began', flush=True)\n" + program
    assert attack(["/usr/bin/python3", "-c", began], strict).startswith(b"began\n")


@pytest.mark.parametrize(
    "script", [SHELL["fork bomb"], SHELL["memory hog"]], ids=["forks", "memory"]
)
def test_one_in_a_box_that_stays_leaves_it_to_be_ended(
    strict: BoxSpec, unharmed: None, script: str
) -> None:
    with strict.start() as box:
        with contextlib.suppress(subprocess.TimeoutExpired):
            box.run(["sh", "-c", script], capture_output=True, timeout=2)
        assert box.stats().memory is None or box.stats().memory.current < 70 << 20


def test_system_calls_that_reach_around_a_box_are_refused(strict: BoxSpec, unharmed: None) -> None:
    numbers = _native.syscalls()
    asked: dict[str, object] = {
        name: numbers[name] for name in ("clone", "unshare", "socket", "personality", "ioctl")
    }
    asked["refused"] = {name: numbers[name] for name in REFUSED.split() if name in numbers}
    for spec in (strict, BoxSpec()):
        shown = attack(["/usr/bin/python3", "-c", CALLS, json.dumps(asked)], spec, 30)
        reached = {name for name, _, _ in json.loads(shown)}
        allowed = set() if spec is strict else WITHIN
        assert reached <= allowed, reached


def test_nothing_of_the_hosts_can_be_opened_for_writing(strict: BoxSpec, unharmed: None) -> None:
    rootfs = strict.rootfs.with_mounts(Mount.sysfs())
    for spec in (strict, BoxSpec(rootfs=rootfs)):
        opened, read = json.loads(attack(["/usr/bin/python3", "-c", WALK], spec, 60))
        assert read
        assert [path for path in opened if not path.startswith("/proc/1/")] == []


def test_a_typist_in_a_terminal_of_its_own_types_for_itself_alone(
    strict: BoxSpec, unharmed: None
) -> None:
    program = "import fcntl\nfor byte in b'id\\n': fcntl.ioctl(0, 0x5412, bytes([byte]))"
    with nsbox.popen(["/usr/bin/python3", "-c", program], strict, pty=True) as process:
        shown = process.terminal.read()
        assert process.wait(timeout=30) != 0
    assert b"PermissionError" in shown
