"""A caller that waits for its turn: a process of its own that starts `true` once for each line.

`Caller` is the handle. The process is this same file, run by the interpreter, as the user and in
the mount namespace that the handle was told. It tells the time itself: asking it costs nothing.
"""

import ctypes
import functools
import json
import os
import pwd
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, Resources

LIMITS = BoxSpec(resources=Resources(memory_max="64M", cpu_max=1, pids_max=64))

SPECS = {
    "nsbox.run": BoxSpec(),
    "nsbox.run, limits": LIMITS,
    "nsbox.run, init=False": BoxSpec(init=False),
    "nsbox.run, user namespace": BoxSpec(
        namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}
    ),
}
"""The boxes that take part; each has a floor of its own, made from its plan (floor.py)."""

POOLS = {"nsbox.Pool.run": BoxSpec(), "nsbox.Pool.run, limits": LIMITS}
"""In a box that was made ahead."""

AHEAD = (*POOLS, "nsbox.Box.run")
"""And in one that is running."""

Start = Callable[[], object]


class Caller:
    """A running caller: `start` makes it start `true` once, in a way that it knows.

    The ways are `SPECS`, "subprocess.run", "fork" and `commands`: other programs that start one.
    `having` is what weighs on the caller: "gib" of resident memory, open "files", busy "threads",
    "mounts" in a mount namespace of its own.
    `interpreter` is a Python that has nsbox and this file where `user` can read them; `within` a
    program that runs the caller, such as unshare(1).
    """

    def __init__(
        self,
        true: Sequence[str],
        commands: Mapping[str, Sequence[str]] = {},
        *,
        having: Mapping[str, int] = {},
        within: Sequence[str] = (),
        interpreter: Sequence[str] = (sys.executable, __file__),
        user: str | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [*within, *interpreter, json.dumps([true, commands, having])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **as_user(user),
        )

    def start(self, way: str) -> float:
        """Start once; return the milliseconds until it has ended. Raises `RuntimeError`."""
        stdin, stdout = self._pipes()
        stdin.write(f"{way}\n")
        stdin.flush()
        answer = stdout.readline().strip()
        try:
            return float(answer)
        except ValueError:
            raise RuntimeError(answer or "the caller has ended") from None

    def close(self) -> None:
        """End the caller."""
        for pipe in self._pipes():
            pipe.close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def as_user(name: str | None) -> dict[str, Any]:
    """Return what `subprocess` takes to run something as an ordinary user, without other groups."""
    if name is None:
        return {}
    record = pwd.getpwnam(name)
    return {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": [], "cwd": "/"}


def _main(true: list[str], commands: dict[str, list[str]], having: dict[str, int]) -> None:
    if "mounts" in having:
        _mount(having["mounts"])
    known = ways(true, commands)
    if "files" in having:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ballast = bytearray(having.get("gib", 0) << 30)
    ballast[::4096] = b"x" * len(ballast[::4096])
    files = [os.dup(2) for _ in range(having.get("files", 0))]
    computing = threading.Event()
    threads = having.get("threads", 0)
    for _ in range(threads):
        threading.Thread(target=_compute, args=(computing,), daemon=True).start()
    for line in sys.stdin:
        if threads:
            computing.set()
            time.sleep(0.02)  # until all compute, each handing the interpreter to the next
        try:
            start = known[line.strip()]()
            began = time.perf_counter()
            start()
            answer = f"{(time.perf_counter() - began) * 1000}"
        except (OSError, subprocess.CalledProcessError) as error:
            answer = " ".join(str(error).split())
        computing.clear()  # while others have their turn
        if line.strip() in POOLS:
            _pool(line.strip()).fill()
        print(answer, flush=True)
    del ballast, files


def ways(true: list[str], commands: dict[str, list[str]]) -> dict[str, Callable[[], Start]]:
    """Return what gets each start ready, so that the time is that of one call alone."""

    def boxed(spec: BoxSpec) -> Callable[[], Start]:
        return lambda: partial(nsbox.run, true, spec, check=True)

    def pooled(name: str) -> Callable[[], Start]:
        return lambda: partial(_pool(name).run, true, check=True)

    def plain(command: list[str], **parameters: int) -> Callable[[], Start]:
        return lambda: partial(subprocess.run, command, check=True, **parameters)

    @functools.cache
    def box() -> nsbox.Box:
        return BoxSpec().start()

    return {
        **{name: boxed(spec) for name, spec in SPECS.items()},
        **{name: pooled(name) for name in POOLS},
        "nsbox.Box.run": lambda: partial(box().run, true, check=True),
        **{name: plain(one, stdin=subprocess.DEVNULL) for name, one in commands.items()},
        "subprocess.run": plain(true),
        "fork": lambda: partial(_fork, true),
    }


@functools.cache
def _pool(name: str) -> nsbox.Pool:
    return nsbox.Pool(POOLS[name], size=4)


def _fork(command: list[str]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError(f"the forked command ended with wait status {status}")


def _mount(count: int) -> None:
    """Mount so many file systems out of everybody else's sight, on folders in memory."""
    clone_newns, ms_rec, ms_private = 0x20000, 0x4000, 1 << 18
    libc = ctypes.CDLL(None, use_errno=True)

    def do(call: Callable[..., int], *arguments: object) -> None:
        if call(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), call.__name__)

    do(libc.unshare, clone_newns)
    do(libc.mount, None, b"/", None, ms_rec | ms_private, None)
    folder = b"/var/tmp"
    for number in range(count):
        do(libc.mount, b"none", folder, b"tmpfs", 0, None)
        if number == 0:
            names = [b"%s/%d" % (folder, one) for one in range(count)]
            for name in names:
                os.mkdir(name)
        folder = names[number]


def _compute(computing: threading.Event) -> None:
    while computing.wait():
        sum(range(1000))


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
