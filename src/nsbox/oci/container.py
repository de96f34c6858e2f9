"""A container as the OCI runtime specification has it: runtime.md, "Lifecycle"."""

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import attrs

from nsbox import pipes
from nsbox.cgroup.cgroup import Cgroup
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.fields import StrPath
from nsbox.oci import ending, groups, hooks, inside, launch, net_devices
from nsbox.oci.bundle import read_config
from nsbox.oci.config import VERSION, Description, describe
from nsbox.oci.document import Node
from nsbox.oci.starting import Creation, start
from nsbox.oci.state import Folder, Record
from nsbox.pipes import Stream
from nsbox.process import Process
from nsbox.task import Task


class Container:
    """A container: made by `create`, or found by `load`, also by another process than its maker.

    It is its process, which is the command itself and process 1 of a new pid namespace, and it
    outlives whoever made it, until `delete`. Leaving a ``with`` block deletes it, whatever it does;
    `close` only lets go of what the handle has open, until that is needed again.
    """

    def __init__(
        self, folder: Folder, config: dict[str, Any], bundle: str, record: Record | None
    ) -> None:
        """Not to be called."""
        self._folder, self._config, self._record = folder, config, record
        self._bundle = bundle
        self._destroyed = False
        self._task = None if record is None else ending.task(record)
        self.id = folder.name
        self.stdin: Any = None
        self.stdout: Any = None
        self.stderr: Any = None

    @classmethod
    def create(
        cls,
        bundle: StrPath,
        id: str,  # noqa: A002 - as the specification has it
        *,
        root: StrPath | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        pass_fds: Sequence[int] = (),
        console: int | None = None,
    ) -> "Container":
        """Make the container of a bundle, all but its command, which waits for `start`.

        It is kept in a folder of its `id` below `root`: by default /run/nsbox, for an ordinary
        user ``$XDG_RUNTIME_DIR/nsbox``. Its standard streams are as for `nsbox.popen`, and those
        of the caller by default; if ``process.terminal`` asks for one, that is sent to `console`,
        a connected unix(7) socket.

        Raises `FileExistsError` where there is one of this id, what `read_bundle` does,
        `StepError` for a step and `HookError` for a hook that failed. Nothing is left then.
        """
        config = read_config(bundle)
        said = describe(config, bundle=bundle, umask=launch.callers_umask())
        if bool(said.options.terminal) != (console is not None):
            raise ValueError("console: a socket, if process.terminal is true, and only then")
        said = attrs.evolve(said, options=attrs.evolve(said.options, pass_fds=pass_fds))
        folder = Folder(root, id)
        place = os.path.abspath(bundle)
        folder.make(config | {"nsbox": {"bundle": place}})
        self = cls(folder, config, place, None)
        self._said = said
        try:
            with pipes.Ends(stdin, stdout, stderr) as ends, Creation(folder, said, console) as new:
                self._begin(new, ends)
        except BaseException:
            self._destroy()
            raise
        return self

    @classmethod
    def load(cls, id: str, *, root: StrPath | None = None) -> "Container":  # noqa: A002
        """Find a container that somebody has made. Raises `FileNotFoundError`."""
        folder = Folder(root, id)
        config, record = folder.read()
        return cls(folder, config, config["nsbox"]["bundle"], record)

    @property
    def pid(self) -> int | None:
        """The id of its process, as the caller sees it; None once that has ended."""
        task = self._hold()
        return task.pid if task is not None and task.alive else None

    @property
    def status(self) -> Literal["creating", "created", "running", "stopped"]:
        """What has become of it; see `state`."""
        if self._record is None or not self._record.pid:
            return "creating"
        if self.pid is None:
            return "stopped"
        if not self._record.created:
            return "creating"
        return "created" if self._folder.waits else "running"

    @property
    def state(self) -> dict[str, Any]:
        """Its state as the specification has it, ready for JSON: runtime.md, "State"."""
        return self._state(self.status)

    def start(self) -> None:
        """Run its command. Returns when that runs, and the ``poststart`` hooks have.

        Raises `ValueError` where it is not created, or somebody else starts it; `StepError` for a
        step and `HookError` for a hook that failed: then it is deleted.
        """
        if self.status != "created":
            raise ValueError(f"start: container {self.id!r} is {self.status}, and not created")
        try:
            assert self._record is not None
            start(
                self._folder,
                self._said,
                self._record,
                just_before=lambda: self._run_inside("startContainer", "created"),
                told=self._tell_agent,
            )
            hooks.run(self._hooks("poststart"), "poststart", self.state)
        except (OSError, hooks.HookError):
            self.delete(force=True)
            raise

    def kill(self, sig: int | str = signal.SIGTERM, *, all: bool = False) -> None:  # noqa: A002
        """Send a signal to its process; to all in its groups with `all`.

        Raises `ValueError` where it is neither created nor running, and for no such signal.
        """
        number = ending.signal_number(sig)
        if self.status not in ("created", "running"):
            raise ValueError(f"kill: container {self.id!r} is {self.status}")
        task = self._hold()
        assert task is not None
        if all:
            ending.signal_all(self.cgroup, number, but=task.pid)
        with contextlib.suppress(ProcessLookupError):
            task.signal(number)
        if number == signal.SIGKILL:
            self._thaw()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of its process; return its return code if it is the caller's child.

        Raises `subprocess.TimeoutExpired` after `timeout` seconds.
        """
        task = self._hold()
        return None if task is None else task.wait(timeout)

    def delete(self, *, force: bool = False) -> None:
        """Remove all that it was, and run the ``poststop`` hooks; one that fails is a warning.

        Raises `ValueError` where it has not stopped, unless `force` is to end it.
        """
        if not force and self.status != "stopped":
            raise ValueError(f"delete: container {self.id!r} is {self.status}, and not stopped")
        self._destroy()

    def run(
        self,
        command: Sequence[str] | Mapping[str, Any],
        *,
        timeout: float | None = None,
        **parameters: Any,
    ) -> "subprocess.CompletedProcess[Any]":
        """Run a command in it, as `popen` does, and wait for its end; its output is returned."""
        streams = {"stdout": pipes.PIPE, "stderr": pipes.PIPE}
        with self.popen(command, **streams, **parameters) as running:
            output, error = running.communicate(timeout=timeout)
            code = running.wait()
        return subprocess.CompletedProcess(running.args, code, output, error)

    def popen(self, command: Sequence[str] | Mapping[str, Any], **streams: Any) -> Process:
        """Start a command in the container, created or running; it ends with the caller.

        `command` are arguments, for a process like the container's own without a terminal, or all
        of a ``process`` of the specification. Raises as `Box.popen` does.
        """
        said = self._process(command)
        if said.agent is not None:
            raise UnsupportedError("popen: an agent is asked about system calls: exec() tells it")
        _, joining = launch.joining(said, self._alive(), self._folders)
        return Process(joining, said.args, **streams)

    def exec(
        self,
        command: Sequence[str] | Mapping[str, Any],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        pass_fds: Sequence[int] = (),
        console: int | None = None,
    ) -> int:
        """Start a command as `popen` does, and leave it alone; return its process id.

        It is a child of the caller's, and ends with the container. `console` is as for `create`.
        """
        said = self._process(command)
        said = attrs.evolve(said, options=attrs.evolve(said.options, pass_fds=pass_fds))
        with pipes.Ends(stdin, stdout, stderr) as ends:
            return launch.detached(
                said,
                self._alive(),
                self._folders,
                standard=ends.child,
                console=console,
                told=self._tell_agent,
            )

    @property
    def process(self) -> dict[str, Any]:
        """Its ``process`` as the bundle had it when it was created, to be changed for `exec`."""
        return dict(self._folder.read()[0]["process"])

    @property
    def cgroup(self) -> Cgroup:
        """The group that it is in. Raises `UnsupportedError` where it has none."""
        if not self._folders:
            raise UnsupportedError(f"cgroup: container {self.id!r} is in no group of its own")
        return Cgroup.at(self._folders)

    def close(self) -> None:
        """Let go of the streams and of the process; the container stays. Twice is harmless."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        if self._task is not None:
            self._task.close()
            self._task = None

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.delete(force=True)
        return False

    def __repr__(self) -> str:
        return f"<Container {self.id!r} {self.status}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Container is a live handle; another process finds it by load(id)")

    def _begin(self, new: Creation, ends: pipes.Ends) -> None:
        """Launch its process, and run the hooks of its creation."""
        path = self._said.cgroups_path or f"nsbox-oci-{self.id}"
        chosen = groups.choose(path, self._said.spec.resources)
        record = Record(
            pid=0,
            starttime=0,
            created=False,
            groups=list(chosen.folders.values()),
            made=chosen.missing,
            after={},
        )
        self._record = record
        self._folder.write(record)  # whoever has to remove it knows what there is
        chosen.make()
        pid = new.launch(chosen.folders, ends.child)
        self._record = attrs.evolve(
            record, pid=pid, starttime=ending.starttime(pid), after=new.after
        )
        self._task = ending.task(self._record)
        new.arrived()
        net_devices.move(self._said.net_devices, pid)
        self._folder.write(self._record)
        for moment in ("prestart", "createRuntime"):
            hooks.run(self._hooks(moment), moment, self._state("creating"))
        self._run_inside("createContainer", "creating")
        new.finish()
        self._record = attrs.evolve(self._record, created=True)
        self._folder.write(self._record)
        self.stdin, self.stdout, self.stderr = ends.take(None)

    def _state(self, status: str) -> dict[str, Any]:
        state: dict[str, Any] = {"ociVersion": VERSION, "id": self.id, "status": status}
        if status != "stopped" and self._record is not None and self._record.pid:
            state["pid"] = self._record.pid
        annotations = self._config.get("annotations") or {}
        return {**state, "bundle": self._bundle, "annotations": dict(annotations)}

    @cached_property
    def _said(self) -> Description:
        """What its configuration says, of which the host may have changed its mind since.

        So neither its state nor its end asks for it.
        """
        return describe(self._config, bundle=self._bundle)

    def _hooks(self, moment: str) -> tuple[hooks.Hook, ...]:
        return hooks.read(Node.of("", self._config)).get(moment, ())

    def _run_inside(self, moment: str, status: str) -> None:
        """Run hooks in the namespaces of the container."""
        wanted = self._hooks(moment)
        if wanted:
            inside.run(
                self._said,
                wanted,
                moment,
                self._state(status),
                first_process=self._alive(),
                folders=self._folders,
            )

    def _tell_agent(self, listener: int, pid: int | None = None) -> None:
        assert self._said.agent is not None
        assert self._record is not None
        pid = self._record.pid if pid is None else pid
        self._said.agent.tell(VERSION, pid, listener, self.state)

    def _process(self, command: Sequence[str] | Mapping[str, Any]) -> Description:
        config, _ = self._folder.read()
        if isinstance(command, Mapping):
            process = dict(command)
        else:
            process = config["process"] | {"args": list(command), "terminal": False}
        said = describe(
            config | {"process": process},
            bundle=config["nsbox"]["bundle"],
            umask=launch.callers_umask(),
        )
        return attrs.evolve(said, spec=attrs.evolve(said.spec, affinity=said.exec_affinity))

    def _alive(self) -> int:
        task = self._hold()
        if task is None or not task.alive:
            raise ProcessLookupError(errno.ESRCH, f"the container has stopped: {self!r}")
        return task.fileno()

    def _hold(self) -> Task | None:
        """Return its process, if it is still there; held anew after `close`."""
        if self._task is None and self._record is not None:
            self._task = ending.task(self._record)
        return self._task

    @property
    def _folders(self) -> launch.Folders:
        return {} if self._record is None else groups.found(self._record.groups)

    def _thaw(self) -> None:
        with contextlib.suppress(OSError, NsboxError):
            self.cgroup.thaw()

    def _destroy(self) -> None:
        """Undo what `create` did, in whatever state it is."""
        if self._destroyed:
            return
        record = self._record
        task = self._hold()
        if task is not None:
            ending.end(task, self._thaw)
        if record is not None and record.pid and self._folders:
            self.cgroup.kill()  # before it had a process, the group may be another's
        if record is not None:
            groups.remove(record.made, record.groups)
        self._folder.remove()
        self._destroyed = True  # another of this id may be there from now on
        if record is not None and record.pid:
            ending.after(self._hooks("poststop"), self._state("stopped"))
        self.close()
