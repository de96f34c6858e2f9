"""What runs in a box for an executor: it answers calls, with the standard library alone.

`nsbox.executor.worker` gives this file's text to an interpreter in the box, which need not have
nsbox. Everything goes through sockets, as messages: a head, which is JSON, and a body of bytes.
What arrives here is the caller's and trusted; what leaves here is not, and the caller knows.

With isolation "process" this is a zygote: it forks for each call. In a nursery, where there is
nsbox too, each fork becomes a process of a box made for the call: see `nsbox.zygote`.

Else the box is the zygote's own. Then it is alone again after a call, because it ends every other
process of its pid namespace. It is not dumpable, so that no call can change it by ptrace(2) or
``/proc``; where a call could (its limits, its priority) it looks, and takes leave if one did.
"""

import contextlib
import functools
import gc
import importlib
import importlib.util
import io
import json
import marshal
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types
from typing import Any

Head = dict[str, Any]

NAME = "_nsbox_inside"
"""Under which functions that are sent by value find this module."""
HEADER = struct.Struct("!IQ")
"""The lengths of a message's head and body."""
WORDS_MAX = 1 << 16
PR_SET_DUMPABLE = 4
WITH_CLOUDPICKLE = b"P"
"""The word for a call that will import cloudpickle by itself, if it does not find it imported."""


def main(fd: int) -> None:
    """Prepare as the first message says, tell that it is done, and answer calls."""
    control = socket.socket(fileno=fd)
    message = receive(control)
    if message is None:
        return
    settings = message[0]
    try:
        forks = prepare(settings)
    except BaseException as error:
        send(control, *failed(error))
        return
    send(control, {"magic": importlib.util.MAGIC_NUMBER.hex(), **can(settings)})
    if settings["nursery"]:
        zygote = importlib.import_module("nsbox.zygote")
        zygote.serve(control, settings, pickle.loads(message[1]), sys.modules[NAME])
    elif forks:
        serve_by_forks(control, settings)
    else:
        limit_memory(settings)
        while answer(control):
            pass


def prepare(settings: Head) -> bool:
    """Make the interpreter what every call is to find; return whether each gets a fork."""
    sys.modules[NAME] = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    if settings["path"] is not None:
        sys.path[:] = settings["path"]
    if settings["nursery"]:
        importlib.import_module("nsbox.zygote")
    elif settings["forks"] and (os.getpid(), os.getppid()) != (2, 1):
        raise RuntimeError("not alone in a pid namespace: it could not end what calls leave")
    for name in settings["preload"]:
        importlib.import_module(name)
    return bool(settings["forks"])


def can(settings: Head) -> Head:
    """Tell whether functions can travel by cloudpickle; a zygote has it at hand for its calls.

    In a nursery not before it is told to: each fork is dearer from then on.
    """
    if not settings["cloudpickle"]:
        return {"cloudpickle": False}
    try:
        if settings["forks"] and not settings["nursery"]:
            importlib.import_module("cloudpickle")
        return {"cloudpickle": importlib.util.find_spec("cloudpickle") is not None}
    except ImportError:
        return {"cloudpickle": False}


def answer(sock: socket.socket) -> bool:
    """Take one call and send what comes of it; False where there is no more."""
    message = receive(sock)
    if message is None:
        return False
    head: Head = message[0]
    body: bytes | bytearray = message[1]
    try:
        function, args, kwargs = pickle.loads(body)
        del message
        value = function(*args, **kwargs)
        reply: Head = {"kind": "result"}
        body = dump(value, head)
    except BaseException as error:
        reply, body = failed(error, head)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed by the call, or by whoever reads it
            stream.flush()
    reply["cloudpickle"] = "cloudpickle" in sys.modules
    reply["usage"] = used(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    send(sock, reply, body)
    return True


def dump(value: Any, head: Head) -> bytes:
    """Pickle a value as the call was pickled; cloudpickle is imported where it makes a difference.

    That takes longer than to start the interpreter.
    """
    if not head.get("cloudpickle"):
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    if "cloudpickle" not in sys.modules:
        buffer = io.BytesIO()
        with contextlib.suppress(NotPlainError):
            PlainPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
            return buffer.getvalue()
    pickled: bytes = importlib.import_module("cloudpickle").dumps(value)
    return pickled


class NotPlainError(Exception):
    """Something that pickle does not build by itself is in a value."""


class PlainPickler(pickle.Pickler):
    """Takes plain values alone, of which every pickle is the same."""

    def reducer_override(self, obj: Any) -> Any:
        """Refuse all that has a class of its own, and functions. See `pickle.Pickler`."""
        raise NotPlainError(type(obj))


def failed(error: BaseException, head: Head | None = None) -> tuple[Head, bytes]:
    """Put an exception into a message: itself if that can be, and in words."""
    trace = error.__traceback__
    shown = trace.tb_next if trace is not None else None  # without this module's own frame
    text = "".join(traceback.format_exception(type(error), error, shown or trace))
    described: Head = {
        "kind": "exception",
        "type": type(error).__qualname__,
        "words": str(error)[:WORDS_MAX],
        "traceback": text[-WORDS_MAX:],
    }
    try:
        return described, dump(error, head or {})
    except Exception:
        return described, b""


def used(*whose: int) -> list[float]:
    """Return user and system seconds, and the largest resident set in bytes. See getrusage(2)."""
    usages = [resource.getrusage(who) for who in whose]
    return [
        sum(usage.ru_utime for usage in usages),
        sum(usage.ru_stime for usage in usages),
        max(usage.ru_maxrss for usage in usages) * 1024,
    ]


def limit_memory(settings: Head) -> None:
    """See RLIMIT_DATA in getrlimit(2)."""
    if settings["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (settings["memory"],) * 2)


def serve_by_forks(control: socket.socket, settings: Head) -> None:
    """Answer each call in a fork, then end what it left, and say how it ended."""
    set_dumpable(0)
    freeze()
    ours, own = standing(), own_folders(settings["clean"])
    while True:
        word, descriptors, _, _ = socket.recv_fds(control, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not word:
            return
        if not descriptors:  # the end of a call that had ended by itself
            continue
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            control.close()
            end_input()
            be_call(descriptors[0], settings)
        os.close(descriptors[0])
        status = wait(pid, control)
        end_all_others()
        for folder in own:
            empty(folder, mount_points())
        unchanged = standing() == ours
        send(control, {"status": os.waitstatus_to_exitcode(status), "again": unchanged})
        if not unchanged:
            return


def freeze() -> None:
    """Keep what is there for the forks to share: as long as nobody writes to these pages."""
    gc.collect()
    gc.freeze()


def reap() -> dict[int, int]:
    """Wait for the children that have ended, whoever began them; return their statuses by id."""
    found: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):  # there are no others
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found[one[0]] = one[1]
    return found


def end_input() -> None:
    """Have a pipe as standard input that has ended, and that no other call can write to."""
    end, other = os.pipe()
    os.dup2(end, 0)
    os.close(end)
    os.close(other)


def be_call(fd: int, settings: Head) -> None:
    """Be the process of one call, to its end."""
    code = 1
    try:
        set_dumpable(1)
        limit_memory(settings)
        answer(socket.socket(fileno=fd))
        code = 0
    finally:
        os._exit(code)


def wait(pid: int, control: socket.socket) -> int:
    """Wait for a call's process, or until the caller does not want to any longer."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    try:
        if any(fd != pidfd for fd, _ in poll.poll()):
            control.recv(1)
            os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    finally:
        os.close(pidfd)


def end_all_others() -> None:
    """End all other processes of this pid namespace but the first, orphans too. See kill(2)."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.0005)  # until the first process has waited for them, or this one has
        reap()


def own_folders(folders: list[str]) -> list[str]:
    """Return those that are the box's alone: in memory, and nothing in them but mount points."""
    mounts = mount_points()
    return [
        folder
        for folder in folders
        if mounts.get(folder) == ("tmpfs", "/")
        and all(holds_mount(entry.path, mounts) for entry in os.scandir(folder))
    ]


def mount_points() -> dict[str, tuple[str, str]]:
    """Return type and root of what is mounted, by its place. See proc_pid_mountinfo(5)."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file.read().split("\n")[:-1]:
            before, after = line.split(" - ", 1)
            root, place = before.split(" ")[3:5]
            for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n")):
                place = place.replace(octal, character)
            found[place.replace("\\134", "\\")] = after.split(" ")[0], root
    return found


def holds_mount(path: str, mounts: dict[str, tuple[str, str]]) -> bool:
    """Whether something is mounted there, or below."""
    return any(place == path or place.startswith(path + "/") for place in mounts)


def empty(folder: str, mounts: dict[str, tuple[str, str]]) -> None:
    """Remove all that is in a folder of the box's own, where nobody else is at work any longer."""
    for entry in os.scandir(folder):
        if entry.path in mounts:
            continue
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)
            empty(entry.path, mounts)
            if not holds_mount(entry.path, mounts):
                os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def standing() -> tuple[Any, ...]:
    """Return what a call could have changed of this process, and what later ones would inherit."""
    limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return (
        [resource.getrlimit(number) for _, number in sorted(limits.items())],
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getscheduler(0),
        os.sched_getaffinity(0),
    )


def set_dumpable(value: int) -> None:
    """See PR_SET_DUMPABLE(2const)."""
    if libc().prctl(PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_DUMPABLE)")


@functools.cache
def libc() -> Any:
    """Return what has the calls that Python has not; a zygote's forks find it made."""
    import ctypes  # noqa: PLC0415 - a worker that does not fork does without

    return ctypes.CDLL(None)


def send(sock: socket.socket, head: Head, body: bytes | bytearray = b"") -> None:
    """Send a message."""
    encoded = json.dumps(head).encode()
    sock.sendall(HEADER.pack(len(encoded), len(body)) + encoded)
    sock.sendall(body)


def receive(sock: socket.socket) -> tuple[Head, bytearray] | None:
    """Receive a message; None at the end of the connection."""
    lengths = receive_exactly(sock, HEADER.size)
    if lengths is None:
        return None
    head, body = (receive_exactly(sock, length) for length in HEADER.unpack(lengths))
    return None if head is None or body is None else (json.loads(head), body)


def receive_exactly(sock: socket.socket, size: int) -> bytearray | None:
    """Receive this many bytes; None where the connection ends before."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return buffer


def make_function(code: bytes, module: str, cells: int) -> types.FunctionType:
    """Begin a function that was sent by value; see `nsbox.executor.carry`."""
    scope = vars(importlib.import_module(module))
    scope.setdefault("__builtins__", __builtins__)
    return types.FunctionType(
        marshal.loads(code), scope, closure=tuple(types.CellType() for _ in range(cells)) or None
    )


def fill_function(function: types.FunctionType, state: tuple[Any, Any, Any]) -> None:
    """Give it what may refer to itself: its attributes, its cells, its globals."""
    attributes, cells, scope = state
    for cell, content in zip(function.__closure__ or (), cells):  # noqa: B905 - new in 3.10
        if content:
            cell.cell_contents = content[0]
    function.__globals__.update(scope)
    for name, value in attributes.items():
        setattr(function, name, value)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody wants to know
        main(int(sys.argv[1]))
