"""The sources of all facts: the files below a root, and the kernel's answers."""

import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from nsbox import _native
from nsbox.constants import Capability
from nsbox.procfs import decode, parse_status

Value = TypeVar("Value")

_FIRST_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO, fixed in the kernel's headers


@attrs.frozen(kw_only=True)
class Host:
    """A host as one thread sees it; tests give a folder as its root, and answers of their own."""

    root: Path
    uid: int
    login: str | None
    search_path: str
    capabilities: Capability
    ask: Callable[[str], int]
    may_write: Callable[[Path], bool]

    @classmethod
    def here(cls) -> "Host":
        """Return the real one, for the calling thread."""
        uid = os.geteuid()
        return cls(
            root=Path("/"),
            uid=uid,
            login=_login(uid),
            search_path=os.environ.get("PATH", os.defpath),
            capabilities=Capability(_native.capabilities()),
            ask=_native.ask,
            may_write=lambda path: os.access(path, os.W_OK, effective_ids=True),
        )

    def path(self, absolute: str) -> Path:
        """Return where a file of this host is found."""
        return self.root / absolute.lstrip("/")

    def has(self, absolute: str) -> bool:
        """Whether there is such a file, be it a link that leads nowhere."""
        return os.path.lexists(self.path(absolute))

    def read(self, absolute: str) -> str | None:
        """Return the text of a file; None where it is missing or not ours to read."""
        try:
            return decode(self.path(absolute).read_bytes())
        except OSError:
            return None

    def sysctl(self, name: str) -> int | None:
        """Return a number from `/proc/sys`, None where there is no such setting: sysctl(8)."""
        text = self.read("/proc/sys/" + name.replace(".", "/"))
        return int(text) if text and re.fullmatch(r"-?[0-9]{1,20}\n?", text) else None

    def parse(self, absolute: str, parser: Callable[[str], Value]) -> Value | None:
        """Return what a file says; None where it is unreadable or unlike what its kernel writes."""
        text = self.read(absolute)
        try:
            return None if text is None else parser(text)
        except ValueError:
            return None

    @property
    def release(self) -> str:
        """The kernel's release, as in uname(2); empty where `/proc` does not tell."""
        return (self.read("/proc/sys/kernel/osrelease") or "").rstrip("\n")

    @property
    def version(self) -> tuple[int, int]:
        """The release's first two numbers; zeros if it has none."""
        numbers = re.match(r"([0-9]+)\.([0-9]+)", self.release)
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    @property
    def filtered(self) -> bool:
        """Whether a seccomp filter is on the calling thread: seccomp(2)."""
        return self._status("Seccomp") == "2"

    @property
    def no_new_privs(self) -> bool:
        """Whether setuid programs gain nothing from this caller: PR_SET_NO_NEW_PRIVS(2const)."""
        return self._status("NoNewPrivs") == "1"

    @property
    def in_first_user_namespace(self) -> bool:
        """Whether the caller's capabilities count for the whole host: user_namespaces(7)."""
        try:
            return os.readlink(self.path("/proc/self/ns/user")) == _FIRST_USER_NAMESPACE
        except OSError:
            return False

    def _status(self, key: str) -> str | None:
        # Not Status.of: kernels in user space, such as gVisor's, write fewer fields than it needs.
        return (self.parse("/proc/thread-self/status", parse_status) or {}).get(key)


def _login(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
