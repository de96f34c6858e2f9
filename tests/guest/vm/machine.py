"""A guest: started for one command, whose output and exit status are passed on."""

import contextlib
import os
import selectors
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs

from vm import initramfs, qemu
from vm.kernel import Kernel
from vm.needs import VIRTIOFSD

SCRATCH_BYTES = 8 << 30
SPARE_BYTES = 256 << 20

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TMPDIR": "/run/guest/tmp",
    "NSBOX_GUEST_DISK": "/dev/vdb",
    "NSBOX_GUEST_REPORT": "/run/guest/report",
}
"""What commands in a guest find: a spare block device to try things on, and the report channel."""

Sink = Callable[[bytes], object]


class GuestError(Exception):
    """The guest did not come to the end of its command: the message has its console's last lines."""


@attrs.frozen(kw_only=True)
class Guest:
    """A machine to be: its kernel, its cgroup layout, and who runs the command there.

    - `layout`: ``v2``, ``v1`` or ``hybrid``.
    - `user`: an ordinary user, made in the guest if need be, in a delegated v2 subtree; root if None.
    - `reached`: files that the user must be able to reach, such as an interpreter.
    """

    kernel: Kernel
    layout: str
    user: str | None = None
    reached: tuple[Path, ...] = ()
    cpus: int = 2
    megabytes: int = 2048

    def run(
        self,
        command: Sequence[str],
        sinks: Mapping[str, Sink],
        *,
        env: Mapping[str, str],
        timeout: float,
    ) -> int:
        """Boot, run a command in the current folder, switch off; return its exit status.

        `sinks` take what arrives from the command's ``stdout`` and ``stderr``, and from the
        channel ``report``; what has no sink is dropped. Raises `GuestError` after `timeout` seconds, or if the guest fails.
        """
        with tempfile.TemporaryDirectory(prefix="nsbox-guest-") as name:
            folder = Path(name)
            self._prepare(folder, command, env)
            status = bytearray()
            with _channels(folder) as pipes, self._machine(folder):
                ended = _pump(pipes, {**sinks, "status": status.extend}, timeout)
            if not ended or not status:
                what = "the guest failed" if ended else f"the guest ran for more than {timeout:g} s"
                console = (folder / "console").read_text(errors="replace")
                raise GuestError(f"{what}; its console's last lines:\n{console[-8000:]}")
            return int(status)

    def _prepare(self, folder: Path, command: Sequence[str], env: Mapping[str, str]) -> None:
        settings = {
            "LAYOUT": self.layout,
            "MODULES": str(self.kernel.modules),
            "RUN_AS": self.user or "",
            "REACHED": " ".join(str(path) for path in self.reached),
        }
        exports = (f"export {key}={shlex.quote(text)}\n" for key, text in env.items())
        script = "".join(exports) + f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}\n"
        initramfs.write(folder / "initramfs", self.kernel, settings, script)
        for disk, size in (("scratch", SCRATCH_BYTES), ("spare", SPARE_BYTES)):
            with open(folder / disk, "wb") as file:
                file.truncate(size)
        # No journal: nothing is to be recovered.
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", str(folder / "scratch")]
        subprocess.run(make, check=True)

    @contextlib.contextmanager
    def _machine(self, folder: Path) -> Iterator[None]:
        """Start the virtual machine and what shares the host's files with it; end both."""
        with contextlib.ExitStack() as stack:
            console = stack.enter_context(open(folder / "console", "ab"))
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(folder / "virtiofs"))
                listener.listen()
                share = ["unshare", "--mount", "sh", str(initramfs.HERE / "share.sh")]
                daemon = [str(VIRTIOFSD), f"--fd={listener.fileno()}"]
                options = "source=/,sandbox=chroot,cache=always,no_readdirplus"
                _start(stack, [*share, *daemon, "-o", options], console, [listener.fileno()])
            machine = qemu.command(
                folder,
                self.kernel.image,
                cpus=self.cpus,
                megabytes=self.megabytes,
                layout=self.layout,
            )
            _start(stack, machine, console)
            yield


def _start(
    stack: contextlib.ExitStack, args: Sequence[str], console: IO[bytes], fds: Sequence[int] = ()
) -> None:
    """Start a process that ends with the stack, and also when this process is killed."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *args],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        pass_fds=fds,
    )
    stack.enter_context(process)
    stack.callback(process.kill)


@contextlib.contextmanager
def _channels(folder: Path) -> Iterator[dict[str, int]]:
    """Make a named pipe for each channel, and open our ends."""
    with contextlib.ExitStack() as stack:
        pipes = {}
        for name in qemu.CHANNELS:
            os.mkfifo(folder / name)
            pipes[name] = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, pipes[name])
        yield pipes


def _pump(pipes: Mapping[str, int], sinks: Mapping[str, Sink], timeout: float) -> bool:
    """Pass on what arrives until all pipes are at their end; tell whether that came in time."""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for name, fd in pipes.items():
            selector.register(fd, selectors.EVENT_READ, sinks.get(name, len))
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                return False
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fd)
    return True
