"""Who asks: the calling thread, as far as steps depend on it."""

import os

import attrs

from nsbox import _native
from nsbox.constants import Capability


@attrs.frozen
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
        capabilities = Capability(_native.capabilities())
        return cls(os.geteuid(), os.getegid(), capabilities, os.getcwd(), os.getpid())

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
