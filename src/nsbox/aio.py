"""The same, awaited: commands and boxes on a running asyncio loop, without a thread each.

    done = await nsbox.aio.run(["make", "test"], spec, capture_output=True, timeout=60)

A start itself takes about a millisecond of system calls and is not awaited; all that takes longer
is: input and output through pipes, and the end through the pidfd. A `run` that is cancelled ends
its box before it lets the cancellation through.
"""

import asyncio
import contextlib
import functools
import os
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack

from nsbox import commands, process
from nsbox.commands import Args, Invocation
from nsbox.complete import bytes_at_most, with_pipes
from nsbox.errors import OutputExceeded
from nsbox.launch import Command, Parked
from nsbox.parameters import PopenParameters, RunParameters, check_names, invoke
from nsbox.pipes import CHUNK, Text, decoded, encoded
from nsbox.spec import BoxSpec
from nsbox.usage import CompletedProcess, Usage

if TYPE_CHECKING:
    from nsbox.box import Box as SyncBox
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.fleet.awaited import AwaitedFleet
    from nsbox.fleet.fleet import Fleet
    from nsbox.pool import Pool

__all__ = ["Box", "Process", "popen", "run", "start"]

_DEFAULT = BoxSpec()


async def run(
    args: Args,
    spec: "BoxSpec | Pool | None" = None,
    *,
    cgroup: "Cgroup | None" = None,
    **parameters: Unpack[RunParameters],
) -> CompletedProcess:
    """Run a command in a box of its own, as `nsbox.run` does with the same parameters.

    With a `Pool` for a spec, it is in one that was made ahead: `Pool.run`.
    """
    check_names("run", parameters, RunParameters)
    invocation, rest = invoke(args, parameters)
    command, parked = _starting(spec, invocation, cgroup)
    return await _complete(command, args, parked, **rest)


async def popen(
    args: Args,
    spec: "BoxSpec | Pool | None" = None,
    *,
    cgroup: "Cgroup | None" = None,
    **parameters: Unpack[PopenParameters],
) -> "Process":
    """Start a command in a box of its own, with the parameters of `nsbox.popen`.

    Its pipes are asyncio's streams, and bytes.
    """
    check_names("popen", parameters, PopenParameters)
    invocation, rest = invoke(args, parameters)
    command, parked = _starting(spec, invocation, cgroup)
    return await Process._start(command, args, parked, **_streams(rest))


async def start(spec: "BoxSpec | Pool | None" = None, *, cgroup: "Cgroup | None" = None) -> "Box":
    """Start a box that stays; see `BoxSpec.start`, and `Pool.start` where that is given."""
    if spec is None or isinstance(spec, BoxSpec):
        return Box((spec or _DEFAULT).start(cgroup=cgroup))
    _check_group(cgroup)
    return Box(spec.start())


async def start_fleet(specs: Iterable[BoxSpec], **parameters: Any) -> "AwaitedFleet":
    """Start a box of each spec, in threads; the parameters are those of `Fleet.start`.

    One that is cancelled meanwhile ends them all as soon as they are there.
    """
    from nsbox.fleet.awaited import AwaitedFleet  # noqa: PLC0415 - one box does without
    from nsbox.fleet.fleet import Fleet  # noqa: PLC0415

    starting = asyncio.ensure_future(asyncio.to_thread(Fleet.start, specs, **parameters))
    try:
        fleet = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_close_fleet)
        raise
    return AwaitedFleet(fleet, lambda box, args, **rest: Box(box).run(args, **rest))


def _close_fleet(started: "asyncio.Future[Fleet]") -> None:
    if not started.cancelled() and started.exception() is None:
        started.result().close()


class Process:
    """A running command, as `asyncio.subprocess.Process` has it; made by `popen`.

    `stdin` is an `asyncio.StreamWriter`, `stdout` and `stderr` are an `asyncio.StreamReader`, each
    where a pipe was asked for.
    """

    def __init__(self, sync: process.Process) -> None:
        self._sync = sync
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._read: dict[str, bytearray] = {}
        self._pipes: list[asyncio.BaseTransport] = []
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        # One of our own: whoever looks at `sync` may close that one while the loop watches it.
        self._pidfd = os.dup(sync.fileno())
        self._loop.add_reader(self._pidfd, self._end)

    @classmethod
    async def _start(
        cls, command: Command, args: Args, parked: Parked | None = None, **streams: Any
    ) -> "Process":
        sync = process.Process(command, args, parked, **streams, wait_exec=False)
        try:
            self = cls(sync)
        except BaseException:
            sync.close()
            raise
        try:
            await self._connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def _connect(self) -> None:
        """Give the pipes to the loop, which closes them: nobody else may, while it watches."""
        if self._sync.stdin is not None:
            transport, protocol = await self._loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, self._sync.stdin
            )
            self._pipes.append(transport)
            self._sync.stdin = None
            self.stdin = asyncio.StreamWriter(transport, protocol, None, self._loop)
        for name in ("stdout", "stderr"):
            pipe = getattr(self._sync, name)
            if pipe is not None:
                reader = asyncio.StreamReader(limit=CHUNK)
                factory = functools.partial(asyncio.StreamReaderProtocol, reader)
                reading, _ = await self._loop.connect_read_pipe(factory, pipe)
                self._pipes.append(reading)
                setattr(self._sync, name, None)
                setattr(self, name, reader)
                self._read[name] = bytearray()

    def _end(self) -> None:
        """Take down the end that the pidfd tells of."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            code = self._sync.wait()
        except Exception as error:
            self._ended.set_exception(error)
            self._ended.exception()  # whoever waits gets it; nobody has to
        else:
            self._ended.set_result(code)

    @property
    def pid(self) -> int:
        """The process id of the box's first process."""
        return self._sync.pid

    @property
    def args(self) -> Any:
        """The command as it was given."""
        return self._sync.args

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative where a signal ended it."""
        return self._sync.returncode

    @property
    def usage(self) -> Usage | None:
        """What it cost, once it has ended."""
        return self._sync.usage

    async def wait(self) -> int:
        """Wait for the end; cancelling this leaves the command alone. Raises `StepError`."""
        return await asyncio.shield(self._ended)

    async def communicate(
        self,
        input: bytes | None = None,  # noqa: A002
        *,
        output_max: int | None = None,
    ) -> tuple[bytes | None, bytes | None]:
        """Send `input`, read both pipes to their end, and wait.

        Raises `OutputExceeded` once more than `output_max` bytes came from both together; the
        command goes on then.
        """
        parts = [
            asyncio.ensure_future(part)
            for part in (
                self._feed(input),
                self._drain("stdout", output_max),
                self._drain("stderr", output_max),
            )
        ]
        try:
            await asyncio.gather(*parts)
        finally:
            for part in parts:
                part.cancel()  # those that are left where one has raised
        await self.wait()
        return self._so_far("stdout"), self._so_far("stderr")

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command. No-op at the end."""
        self._sync.send_signal(sig)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._sync.terminate()

    def kill(self) -> None:
        """End the box at once: the command and all that it started."""
        self._sync.kill()

    async def close(self) -> None:
        """End it if it still runs, and close everything. Twice is harmless."""
        if self.returncode is None:
            self.kill()
        with contextlib.suppress(Exception):
            await self.wait()
        for pipe in self._pipes:
            if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
                pipe.abort()  # what was not read by now, nobody will
            pipe.close()
        if self._pipes:
            await asyncio.sleep(0)  # it is then that the loop closes them
        self._pipes.clear()
        self._sync.close()

    async def __aenter__(self) -> "Process":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def _feed(self, data: bytes | None) -> None:
        if self.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if data:
                self.stdin.write(data)
                await self.stdin.drain()
        self.stdin.close()

    async def _drain(self, name: str, output_max: int | None) -> None:
        reader: asyncio.StreamReader | None = getattr(self, name)
        if reader is None:
            return
        while chunk := await reader.read(CHUNK):
            self._read[name] += chunk
            if output_max is not None and sum(map(len, self._read.values())) > output_max:
                read = (self._so_far(one) for one in ("stdout", "stderr"))
                raise OutputExceeded(self.args, output_max, *read)

    def _so_far(self, name: str) -> bytes | None:
        read = self._read.get(name)
        return None if read is None else bytes(read)


class Box:
    """A running box whose commands are awaited; made by `start`. `sync` is the `nsbox.Box`."""

    def __init__(self, sync: "SyncBox") -> None:
        self.sync = sync

    async def run(self, args: Args, **parameters: Unpack[RunParameters]) -> CompletedProcess:
        """Run a command in the box, as `nsbox.Box.run` does with the same parameters."""
        check_names("run", parameters, RunParameters)
        invocation, rest = invoke(args, parameters)
        return await _complete(self.sync.joining(invocation), args, **rest)

    async def popen(self, args: Args, **parameters: Unpack[PopenParameters]) -> Process:
        """Start a command in the box, with the parameters of `nsbox.Box.popen`."""
        check_names("popen", parameters, PopenParameters)
        invocation, rest = invoke(args, parameters)
        return await Process._start(self.sync.joining(invocation), args, **_streams(rest))

    async def wait(self) -> int:
        """Wait for the end of the box; return the return code of its first process."""
        loop = asyncio.get_running_loop()
        if self.sync.poll() is None:
            ended, pidfd = asyncio.Event(), os.dup(self.sync.fileno())
            loop.add_reader(pidfd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(pidfd)
                os.close(pidfd)
        return self.sync.wait()

    async def stop(self, timeout: float | None = 10) -> int:
        """End the box: SIGTERM to all in it, and SIGKILL after `timeout` seconds (None: never)."""
        self.sync.terminate()
        try:
            async with asyncio.timeout(timeout):
                return await self.wait()
        except TimeoutError:
            self.sync.kill()
            return await self.wait()

    async def close(self) -> None:
        """End the box with all in it. Twice is harmless."""
        if self.sync.poll() is None:
            self.sync.kill()
            await self.wait()
        self.sync.close()

    async def __aenter__(self) -> "Box":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False


def _starting(
    spec: "BoxSpec | Pool | None", invocation: Invocation, cgroup: "Cgroup | None"
) -> tuple[Command, Parked | None]:
    if spec is not None and not isinstance(spec, BoxSpec):
        _check_group(cgroup)
        return spec.starting(invocation)
    return commands.starting(spec or _DEFAULT, invocation, cgroup), None


def _check_group(cgroup: "Cgroup | None") -> None:
    if cgroup is not None:
        raise ValueError("cgroup: that of a pool's boxes is the pool's")


def _streams(rest: dict[str, Any]) -> dict[str, Any]:
    for name in ("text", "encoding", "errors"):
        if rest.pop(name, None):
            raise ValueError(f"{name}: asyncio's streams are of bytes")
    return rest


async def _complete(
    command: Command,
    args: Args,
    parked: Parked | None = None,
    *,
    input: Any = None,  # noqa: A002
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    text: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    output_max: int | str | None = None,
    **streams: Any,
) -> CompletedProcess:
    """Start a command and wait for its end, which comes with a timeout or a cancellation too."""
    most = bytes_at_most(output_max)
    streams = with_pipes(streams, has_input=input is not None, capture_output=capture_output)
    kind = Text(encoding, errors) if text or encoding or errors else None
    data = encoded(input, kind) if isinstance(input, str) and kind else input
    async with await Process._start(command, args, parked, **streams) as running:
        try:
            async with asyncio.timeout(timeout):
                output = await running.communicate(data, output_max=most)
        except TimeoutError:
            read = (running._so_far(name) for name in ("stdout", "stderr"))
            raise subprocess.TimeoutExpired(args, timeout or 0, *read) from None
    out, err = (_as(kind, part) for part in output)
    assert running.returncode is not None
    assert running.usage is not None
    if check and running.returncode:
        raise subprocess.CalledProcessError(running.returncode, args, out, err)
    return CompletedProcess(args, running.returncode, out, err, running.usage)


def _as(kind: Text | None, data: bytes | None) -> Any:
    return data if kind is None or data is None else decoded(data, kind)
