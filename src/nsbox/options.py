"""How one command is started, apart from what its box is like."""

import grp
import os
import pwd
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from nsbox._native.operations import Operation
from nsbox.constants import CloseRangeFlag
from nsbox.namespace.idmap import MAX_ID
from nsbox.plan import Slot, Step
from nsbox.terminal import check_size

MAX_PASSED = Slot.HELD_1 - Slot.PASSED
"""How many descriptors can be passed to a command, beside the standard ones."""


def user_id(value: int | str | None) -> int | None:
    """Read a user as `subprocess` does: an id, or a name of the host's. See passwd(5)."""
    if isinstance(value, str):
        try:
            return pwd.getpwnam(value).pw_uid
        except (KeyError, ValueError):  # the latter for what no name can have in it
            raise ValueError(f"user: no user {value!r} is known here") from None
    return _id("user", value)


def group_id(value: int | str | None) -> int | None:
    """Read a group as `subprocess` does: an id, or a name of the host's. See group(5)."""
    if isinstance(value, str):
        try:
            return grp.getgrnam(value).gr_gid
        except (KeyError, ValueError):
            raise ValueError(f"group: no group {value!r} is known here") from None
    return _id("group", value)


def _id(field: str, value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_ID):
        raise ValueError(f"{field}: a name, or an id from 0 to {MAX_ID}, not {value!r}")
    return None if value is None else int(value)


def _groups(value: Iterable[int | str] | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    found = [group_id(group) for group in value]
    if None in found:
        raise ValueError(f"extra_groups: groups, not {value!r}")
    return tuple(group for group in found if group is not None)


def check_umask(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """Refuse all but permission bits. See umask(2)."""
    if value is not None and (type(value) is not int or not 0 <= value <= 0o777):
        raise ValueError(f"{attribute.name}: permission bits from 0 to 0o777, not {value!r}")


def _cwd(value: str | os.PathLike[str] | None) -> str | None:
    if value is None:
        return None
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"cwd: a path in the box, not {value!r}")
    return path


def _passed(value: Iterable[int]) -> tuple[int, ...]:
    passed = tuple(sorted(set(value)))
    for fd in passed:
        if type(fd) is not int or fd < 0:
            raise ValueError(f"pass_fds: descriptors, not {fd!r}")
    passed = tuple(fd for fd in passed if fd > 2)  # the standard ones are streams
    if len(passed) > MAX_PASSED:
        raise ValueError(f"pass_fds: at most {MAX_PASSED} descriptors, not {len(passed)}")
    return passed


Pty = bool | tuple[int, int]
"""Whether a terminal is wanted, or of which size: rows and columns."""


def _terminal(value: Pty) -> Pty:
    if isinstance(value, bool):
        return value
    if isinstance(value, os.terminal_size):
        return value.lines, value.columns
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"pty: True, or a tuple of rows and columns, not {value!r}")
    return check_size("pty", *value)


@attrs.frozen(kw_only=True, cache_hash=True)
class Options:
    """The parameters of `subprocess.Popen` that become steps; None is what the spec says.

    What is `parked` waits for its command, all but that done: see `nsbox.pool`.
    """

    cwd: str | None = attrs.field(default=None, converter=_cwd)
    user: int | None = attrs.field(default=None, converter=user_id)
    group: int | None = attrs.field(default=None, converter=group_id)
    extra_groups: tuple[int, ...] | None = attrs.field(default=None, converter=_groups)
    umask: int | None = attrs.field(default=None, validator=check_umask)
    pass_fds: tuple[int, ...] = attrs.field(default=(), converter=_passed)
    terminal: Pty = attrs.field(default=False, converter=_terminal)
    parked: bool = False

    def terminal_steps(self) -> Iterator[Step]:
        """Lower the size of the terminal, which is the command's from its first moment."""
        if isinstance(self.terminal, tuple):
            yield Step(Operation.WINDOW_SIZE, self.terminal)

    @property
    def changes_ids(self) -> bool:
        """Whether the command is to be another user, or in other groups."""
        return any(id_ is not None for id_ in (self.user, self.group, self.extra_groups))

    def identity_steps(self) -> Iterator[Step]:
        """Lower the ids: groups first, while there is the right to set them."""
        if self.extra_groups is not None:
            yield Step(Operation.SETGROUPS, (_packed(self.extra_groups),))
        if self.group is not None:
            yield Step(Operation.SETRESGID, (self.group, self.group, self.group))
        if self.user is not None:
            yield Step(Operation.SETRESUID, (self.user, self.user, self.user))

    def descriptor_steps(self) -> Iterator[Step]:
        """Close at the exec what is not given to the command."""
        yield Step(Operation.CLOSE_RANGE, (Slot.PAGE, CloseRangeFlag.CLOSE_RANGE_CLOEXEC))
        if self.pass_fds:
            yield Step(Operation.PASS, (_packed(self.pass_fds),))

    def passed(self) -> dict[int, int]:
        """Return the descriptors that are passed, by slot."""
        return {Slot.PASSED + number: fd for number, fd in enumerate(self.pass_fds)}


PARKED = Options(parked=True)
NO_OPTIONS = Options()
"""No options: all is as the spec says."""


_UNSAID = (None,) * 5


def options(
    *, cwd: Any, user: Any, group: Any, extra_groups: Any, umask: Any, pass_fds: Iterable[int]
) -> Options:
    """Return the options given; mostly none are, and that takes no time."""
    said = cwd, user, group, extra_groups, umask
    if said == _UNSAID and not pass_fds:
        return NO_OPTIONS
    return Options(
        cwd=cwd, user=user, group=group, extra_groups=extra_groups, umask=umask, pass_fds=pass_fds
    )


def _packed(numbers: tuple[int, ...]) -> bytes:
    return struct.pack(f"={len(numbers)}I", *numbers)
