"""What files a command may reach, whatever their permissions say: landlock(7)."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import attrs

from nsbox import _native
from nsbox._native.operations import Operation
from nsbox.constants import LandlockAccess, LandlockScope
from nsbox.errors import UnsupportedError
from nsbox.fields import text_path
from nsbox.plan import Slot, Step

_READ = LandlockAccess.LANDLOCK_ACCESS_FS_READ_FILE | LandlockAccess.LANDLOCK_ACCESS_FS_READ_DIR
_EXECUTE = LandlockAccess.LANDLOCK_ACCESS_FS_EXECUTE
_SINCE = {  # the version of the interface that a right came with; the others with the first
    LandlockAccess.LANDLOCK_ACCESS_FS_REFER: 2,
    LandlockAccess.LANDLOCK_ACCESS_FS_TRUNCATE: 3,
    LandlockAccess.LANDLOCK_ACCESS_FS_IOCTL_DEV: 5,
}
_SCOPES_SINCE = 6


def _paths(value: Iterable[Any]) -> tuple[str, ...]:
    paths = (value,) if isinstance(value, str) else tuple(value)
    for path in paths:
        if not PurePosixPath(text_path(path, "landlock")).is_absolute():
            raise ValueError(f"landlock: absolute paths in the box, not {path!r}")
    return tuple(str(path) for path in paths)


@attrs.frozen(kw_only=True)
class Landlock:
    """Files and folders, with all below them, by what a command may do there. See landlock(7).

    - `execute`, `read`: run programs, read files and list folders.
    - `write`: read and change all of it: files, folders, links, sockets, fifos.
    - `scoped`: whether it may reach no process outside by signal or abstract unix socket; where the
      kernel can (Linux 6.12).

    What is named and not there is passed over. All else is refused with EACCES.
    """

    execute: tuple[str, ...] = attrs.field(converter=_paths, default=())
    read: tuple[str, ...] = attrs.field(converter=_paths, default=())
    write: tuple[str, ...] = attrs.field(converter=_paths, default=())
    scoped: bool = True

    def steps(self) -> Iterator[Step]:
        """Lower for this kernel. Raises `UnsupportedError` where it has no Landlock."""
        version = _native.ask("landlock_create_ruleset")
        if version < 1:
            raise UnsupportedError(
                "security: this kernel has no Landlock, or it is not among lsm= on its command "
                "line; evolve the Security with landlock=None to do without"
            )
        handled = LandlockAccess(0)
        for right in LandlockAccess:
            handled |= right if _SINCE.get(right, 1) <= version else LandlockAccess(0)
        scope = LandlockScope(0)
        if self.scoped and version >= _SCOPES_SINCE:
            scope |= LandlockScope.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
            scope |= LandlockScope.LANDLOCK_SCOPE_SIGNAL
        yield Step(Operation.LANDLOCK_CREATE_RULESET, (Slot.CONTEXT, handled, scope))
        for paths, rights in (
            (self.execute, _EXECUTE | _READ),
            (self.read, _READ),
            (self.write, handled & ~_EXECUTE),
        ):
            for path in paths:
                yield Step(Operation.LANDLOCK_ADD_RULE, (Slot.CONTEXT, path, rights))
        yield Step(Operation.LANDLOCK_RESTRICT_SELF, (Slot.CONTEXT,))
