"""Who asks: the calling thread, as far as steps depend on it."""

import functools
import os

import attrs

from nsbox import _native
from nsbox.constants import Capability


@attrs.frozen(cache_hash=True)
class Caller:
    """The one who starts a box or makes a namespace. See credentials(7), capabilities(7)."""

    uid: int
    gid: int
    capabilities: Capability
    folder: str
    pid: int

    @classmethod
    def current(cls) -> "Caller":
        """Look at the calling thread."""
        ids = os.geteuid(), os.getegid()
        return _known(*ids, _native.capabilities(), _folder(), os.getpid())

    @property
    def privileged(self) -> bool:
        """Whether it may make namespaces, and join those that its user namespace owns."""
        return bool(self.capabilities & Capability.CAP_SYS_ADMIN)

    @property
    def maps_freely(self) -> bool:
        """Whether it may map ids that are not its own. See user_namespaces(7)."""
        wanted = Capability.CAP_SETUID | Capability.CAP_SETGID
        return self.capabilities & wanted == wanted

    @property
    def drops_groups(self) -> bool:
        """Whether it may let go of its groups: a user namespace can forbid that, see the same."""
        if not self.capabilities & Capability.CAP_SETGID:
            return False
        with open("/proc/self/setgroups", encoding="ascii") as file:
            return file.read() == "allow\n"


def _folder() -> str:
    """Return the working folder, or nothing where it has been removed: few need one."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


@functools.lru_cache(maxsize=1)
def _known(uid: int, gid: int, capabilities: int, folder: str, pid: int) -> Caller:
    """Make the value once for a thread that asks again and again, as one that starts boxes does."""
    return Caller(uid, gid, Capability(capabilities), folder, pid)
