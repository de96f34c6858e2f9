"""A box that stays: a machine of its own, for one command after another."""

import errno
import functools
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Unpack

import attrs

from nsbox import commands, copying, procfs
from nsbox.beneath import Beneath
from nsbox.boxpath import BoxPath
from nsbox.cgroup.cgroup import Cgroup
from nsbox.cgroup.stats import Stats
from nsbox.commands import Invocation
from nsbox.complete import complete, process
from nsbox.display import Displayed
from nsbox.errors import UnsupportedError
from nsbox.fields import StrPath, text_path
from nsbox.frozen import FrozenMap
from nsbox.launch import Command
from nsbox.namespace import Namespace, NamespaceType
from nsbox.options import Pty
from nsbox.parameters import PopenParameters, RunParameters, check_names, invoke
from nsbox.pipes import StrOrBytesPath
from nsbox.process import Process, groups_of
from nsbox.task import Task
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec


class Box(Displayed):
    """A running box; made by `BoxSpec.start`.

    It is as much alive as its first process, which stands above all that joins it: `task`. Leaving
    a ``with`` block ends it, and everything in it.
    """

    def __init__(
        self, spec: "BoxSpec", cgroup: Cgroup | None = None, *, command: Command | None = None
    ) -> None:
        self.spec = spec
        if command is None:
            command = commands.staying(spec, cgroup)
        self._first = Process(command)
        self._groups = groups_of(self._first)
        self.task = Task(self._first.pid)
        self._root: Beneath | None = None

    @property
    def pid(self) -> int:
        """The process id of its first process, as the caller sees it."""
        return self._first.pid

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses on the bridge that it is linked to, one of each network there."""
        return self._first.port.addresses if self._first.port else ()

    @property
    def address(self) -> str | None:
        """The first of them; None without a link."""
        return next(iter(self.addresses), None)

    @property
    def ports(self) -> FrozenMap[int, int]:
        """The ports of the host's 127.0.0.1 that lead into it, by the box's own: ``ports[80]``."""
        published = self._first.published
        return FrozenMap(published.ports if published else {})

    @property
    def cgroup(self) -> Cgroup:
        """The group that it is in, with all that runs in it; made for it unless one was given.

        Raises `UnsupportedError` where the caller may make none.
        """
        if self._groups is None:
            raise UnsupportedError(
                f"cgroup: no group was made for {self!r}, because no hierarchy here lets its "
                "starter make groups: see nsbox.probe().cgroups"
            )
        return Cgroup.at(self._groups.directories)

    def stats(self) -> Stats:
        """Read what the box has used, as its group tells. Raises as `cgroup` does."""
        return self.cgroup.stats()

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop all in the box, and wait until it has stopped: see `Cgroup.freeze`."""
        self.cgroup.freeze(timeout)

    def thaw(self) -> None:
        """Let all in the box go on."""
        self.cgroup.thaw()

    @property
    def frozen(self) -> bool:
        """Whether all in the box is stopped."""
        return self.cgroup.frozen

    @property
    def root(self) -> BoxPath:
        """The box's ``/``, to read and write its files from outside: see `BoxPath`.

        Raises `ProcessLookupError` where the box has ended.
        """
        if self._root is None:
            self._root = self._open_root()
        return BoxPath(self._root, PurePosixPath("/"))

    def copy_in(self, source: StrPath, target: StrPath) -> None:
        """Copy a file or a tree of the caller's into the box, where `target` names the copy.

        A file goes into a folder that is there; a tree is laid over one. Modes (without
        set-user-ID bits) and times are kept, links stay links, and all belongs to the box's root.
        Raises `OSError`; `shutil.Error` with a list of (source, target, reason) where some of a
        tree, such as a device, could not be copied and the rest was.
        """
        with copying.outside() as here:
            copying.copy(here, _absolute(source), self.root.beneath, str(self.root / target))

    def copy_out(self, source: StrPath, target: StrPath, *, max_bytes: int | None = None) -> None:
        """Copy a file or a tree out of the box, as `copy_in` does, for the caller to own.

        No link of the box's is followed out of it, nor one that is in the copy. What is longer
        than `max_bytes` in all ends in an `OSError` with EFBIG.
        """
        with copying.outside() as here:
            inside, outside = str(self.root / source), _absolute(target)
            copying.copy(self.root.beneath, inside, here, outside, max_bytes)

    @property
    def namespaces(self) -> FrozenMap[NamespaceType, Namespace]:
        """The namespaces that it is in, its own and those that it shares, by kind."""
        return FrozenMap({kind: Namespace.of(self.pid, kind) for kind in NamespaceType})

    def run(
        self,
        args: StrOrBytesPath | Sequence[StrOrBytesPath],
        **parameters: Unpack[RunParameters],
    ) -> CompletedProcess:
        """Run a command in the box and wait for its end; the parameters are those of `nsbox.run`.

        It has the box's namespaces, groups and rights, never more. After `timeout` seconds it ends
        with what it has started; what has detached itself stays in the box, and ends with it.
        Raises what `nsbox.run` does, `ProcessLookupError` where the box has ended, and
        `BlockingIOError` where it is frozen.
        """
        check_names("run", parameters, RunParameters)
        invocation, rest = invoke(args, parameters)
        return complete(self.joining(invocation), args, **rest)

    def popen(
        self,
        args: StrOrBytesPath | Sequence[StrOrBytesPath],
        *,
        pty: Pty = False,
        **parameters: Unpack[PopenParameters],
    ) -> Process:
        """Start a command in the box, and return it as soon as its program runs.

        The parameters are those of `subprocess.Popen`. With `pty` its streams are a terminal of
        the box's own, in whose session it leads, and `Process.terminal` is the caller's side:
        True, or the size of it, ``(rows, columns)``.
        Raises `StepError` where a step failed, the command's own exec included,
        `ProcessLookupError` where the box has ended, and `BlockingIOError` where it is frozen.
        """
        check_names("popen", parameters, PopenParameters)
        invocation, rest = invoke(args, parameters, terminal=pty)
        return process(self.joining(invocation), args, **rest)

    def poll(self) -> int | None:
        """Return None while the box is alive, else the return code of its first process."""
        return self._first.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the box; return the return code of its first process.

        Raises `subprocess.TimeoutExpired` after `timeout` seconds.
        """
        return self._first.wait(timeout)

    def stop(self, timeout: float | None = 10) -> int:
        """End the box: SIGTERM to all in it, and SIGKILL after `timeout` seconds (None: never).

        A frozen box is thawed, as by whatever else ends it.
        """
        self.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait()

    def terminate(self) -> None:
        """Send SIGTERM to all in the box; its first process ends once they have.

        A frozen box is thawed: nothing in it could end.
        """
        self._first.send_signal(signal.SIGTERM)
        if self._groups is not None:
            self._groups.thaw()

    def kill(self) -> None:
        """End the box at once, with all in it."""
        self._first.kill()

    def close(self) -> None:
        """End the box if it is alive, and let go of everything. Twice is harmless."""
        self._first.close()
        self.task.close()
        if self._root is not None:
            self._root.close()

    def fileno(self) -> int:
        """Return the pidfd of its first process: readable once the box has ended."""
        return self._first.fileno()

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __repr__(self) -> str:
        name = f" {self.spec.hostname!r}" if self.spec.hostname else ""
        state = f"pid={self.pid}" if self.poll() is None else "ended"
        return f"<Box{name} {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Box is a live handle; pickle its BoxSpec instead: box.spec")

    def _open_root(self) -> Beneath:
        """Open the root of the first process, and see whom its new files are to belong to."""
        folder = f"/proc/{self.pid}"
        try:
            fd = os.open(f"{folder}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._has_ended() from None
        root = Beneath(fd)
        with open(f"{folder}/status", "rb") as file:
            status = procfs.Status.of(procfs.parse_status(procfs.decode(file.read())))
        if not self.task.alive:
            root.close()  # whose pid that was by then is anybody's guess
            raise self._has_ended()
        owner = status.uids.effective, status.gids.effective
        if owner != (os.geteuid(), os.getegid()):
            root.owner = owner
        return root

    def _has_ended(self) -> ProcessLookupError:
        return ProcessLookupError(errno.ESRCH, f"the box has ended: {self!r}")

    def joining(self, invocation: Invocation) -> Command:
        """Make what is launched for a command in the box: for `run`, `popen` and `nsbox.aio`."""
        try:
            first_process = self.fileno()
        except ValueError:  # it was waited for; else the plan begins by asking whether it is alive
            raise self._has_ended() from None
        return commands.joining(self._unlinked, invocation, first_process, self._groups)

    @functools.cached_property
    def _unlinked(self) -> "BoxSpec":
        """Its spec without the link: by its first process it is found, whatever became of that."""
        return self.spec if self.spec.link is None else attrs.evolve(self.spec, link=None)


def _absolute(path: StrPath) -> str:
    return os.path.join(os.getcwd(), text_path(path, "path"))
