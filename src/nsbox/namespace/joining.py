"""Namespaces that a box joins: opened for the start, and refused where the kernel would refuse.

Joining takes CAP_SYS_ADMIN in the user namespace that owns the one to be joined. Whoever has it
where it is has it in all user namespaces below; whoever has not can only join a user namespace of
its own first, and then what that owns. See setns(2), user_namespaces(7).
"""

import contextlib
import os
from collections.abc import Iterator

import attrs

from nsbox.caller import Caller
from nsbox.errors import UnsupportedError
from nsbox.namespace.choices import Choice, Choices
from nsbox.namespace.create import create_with_ranges
from nsbox.namespace.handle import Namespace
from nsbox.namespace.idmap import IDMap
from nsbox.namespace.types import NamespaceType

USER = NamespaceType.USER


@attrs.frozen
class Lineup:
    """Which namespaces a box is to have: `new` ones, and those `joined` by how they are shown."""

    new: frozenset[NamespaceType]
    joined: dict[NamespaceType, str]

    @property
    def changes_user(self) -> bool:
        """Whether it is in another user namespace than its starter."""
        return USER in self.new or USER in self.joined


def line_up(choices: Choices, id_map: IDMap, caller: Caller) -> Lineup:
    """Say which namespaces a box of this caller is to have. Opens none."""
    new = {kind for kind, chosen in choices.items() if chosen is Choice.NEW}
    joined = {
        kind: str(chosen) for kind, chosen in choices.items() if not isinstance(chosen, Choice)
    }
    if USER not in choices and (id_map.has_ranges or not caller.privileged):
        if joined and not id_map.has_ranges:
            joined[USER] = f"owner of {next(iter(joined.values()))}"
        else:
            new.add(USER)
    if USER in new and id_map.has_ranges:
        new.remove(USER)
        joined[USER] = "made for the ranges of id_map"
    return Lineup(frozenset(new), joined)


@contextlib.contextmanager
def opened(choices: Choices, id_map: IDMap, caller: Caller) -> Iterator[dict[int, int]]:
    """Open what is to be joined, as descriptors by slot, for as long as the box takes to start.

    Raises `UnsupportedError` for what the kernel would refuse, with the reason, and `OSError` for
    a path that cannot be opened.
    """
    lineup = line_up(choices, id_map, caller)
    with contextlib.ExitStack() as stack:
        found: dict[NamespaceType, Namespace] = {}
        for kind in lineup.joined:
            chosen = choices.get(kind)
            if isinstance(chosen, Namespace):
                found[kind] = chosen
            elif isinstance(chosen, str):
                found[kind] = stack.enter_context(_of_kind(kind, chosen))
        if USER in lineup.joined and USER not in found:
            found[USER] = stack.enter_context(
                _with_ranges(id_map, caller)
                if id_map.has_ranges
                else _owner_to_join(next(iter(found.values())))
            )
        _check(found, caller, USER in lineup.new)
        yield {kind.slot: namespace.fileno() for kind, namespace in found.items()}


def _of_kind(kind: NamespaceType, path: str) -> Namespace:
    namespace = Namespace.open(path)
    if namespace.type is not kind:
        with namespace:
            raise ValueError(
                f"namespaces: {path!r} is a {namespace.type.proc_name} namespace, and cannot be "
                f"the box's {kind.proc_name}"
            )
    return namespace


def _owner_to_join(namespace: Namespace) -> Namespace:
    """Give the user namespace that an ordinary caller has to join first, and can."""
    owner = _owner(namespace)
    with Namespace.current(USER) as here:
        if owner is None or owner == here:
            raise UnsupportedError(
                f"namespaces: to join {namespace} takes CAP_SYS_ADMIN in the user namespace that "
                f"it belongs to, {owner or 'which is out of sight'}"
            )
    return owner


def _with_ranges(id_map: IDMap, caller: Caller) -> Namespace:
    fd = create_with_ranges(id_map, caller)
    try:
        return Namespace.open(fd)
    finally:
        os.close(fd)


def _check(found: dict[NamespaceType, Namespace], caller: Caller, new_user: bool) -> None:
    """Refuse what setns(2) would, while nothing is touched yet."""
    user = found.get(USER)
    with Namespace.current(USER) as here:
        if user is not None:
            _check_user(user, here, caller)
        within = here if caller.privileged else user
        for kind, namespace in found.items():
            if kind is not USER:
                _check_owner(namespace, within, new_user)
    if NamespaceType.PID in found:
        _check_pid(found[NamespaceType.PID])


def _check_user(user: Namespace, here: Namespace, caller: Caller) -> None:
    """Whoever made a user namespace has all rights in it and below, as whoever is privileged."""
    if user == here:
        raise UnsupportedError(
            "namespaces: the caller is in this user namespace already, and cannot join it "
            "again: Choice.HOST is what it has"
        )
    top, above = user, user.parent
    while above is not None and above != here:
        top, above = above, above.parent
    if above is None:
        raise UnsupportedError(
            f"namespaces: {user} is not below the caller's user namespace, and only these can be "
            "joined"
        )
    if not caller.privileged and top.owner_uid != caller.uid:
        raise UnsupportedError(
            f"namespaces: {top} was made by user {top.owner_uid}; another user has no right to "
            "join it without CAP_SYS_ADMIN"
        )


def _check_owner(namespace: Namespace, within: Namespace | None, new_user: bool) -> None:
    owner = _owner(namespace)
    if owner is not None and within is not None and _is_below(owner, within):
        return
    reason = (
        "the box's new user namespace has no rights there"
        if new_user
        else "which is neither joined nor one whose rights the caller has"
    )
    raise UnsupportedError(
        f"namespaces: {namespace} belongs to {owner or 'a user namespace out of sight'}: {reason}"
    )


def _owner(namespace: Namespace) -> Namespace | None:
    try:
        return namespace.user_namespace
    except PermissionError:
        return None


def _is_below(namespace: Namespace, top: Namespace) -> bool:
    """Whether a user namespace is `top` or has it above."""
    above: Namespace | None = namespace
    while above is not None and above != top:
        above = above.parent
    return above is not None


def _check_pid(namespace: Namespace) -> None:
    """A process can go down the tree of pid namespaces, and not up. See pid_namespaces(7)."""
    above: Namespace | None = namespace
    with Namespace.current(NamespaceType.PID) as here:
        while above is not None and above != here:
            above = above.parent
    if above is None:
        raise UnsupportedError(
            f"namespaces: {namespace} is not the caller's pid namespace or one below it, and only "
            "these can be joined"
        )
