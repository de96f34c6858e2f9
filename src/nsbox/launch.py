"""What is launched: a command and its box as steps, and all else that goes with its start."""

import collections
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs

from nsbox import _native
from nsbox._native import ALL_INHERITED, Ready, Strings
from nsbox.cgroup.account import BoxGroups
from nsbox.errors import StepError
from nsbox.frozen import FrozenMap
from nsbox.link import Port, Publication
from nsbox.perform import given_descriptors
from nsbox.plan import Slot
from nsbox.rootfs.overlay import remove_work
from nsbox.security.notify import Handler


class Own:
    """What a box that is launched has for itself.

    - `groups` are its cgroups, which the plan makes or joins.
    - `works` are the work folders of its overlays, which the plan makes and its end removes.
    """

    groups: BoxGroups | None

    def __init__(self, groups: BoxGroups | None = None, works: tuple[str, ...] = ()) -> None:
        self.groups = groups
        self.works = works

    def lent(self) -> "Own":
        """Return the same for whoever is in it, and is to remove nothing."""
        return Own(None if self.groups is None else self.groups.lent())

    def with_shared_groups(self) -> "Own":
        """Return the same where somebody else removes the groups."""
        return Own(None if self.groups is None else self.groups.shared, self.works)

    def remove_left(self, groups_left: int) -> None:
        """Remove what its end has left of it: mostly nothing, for C has removed its groups."""
        if groups_left and self.groups is not None:
            self.groups.remove()
        if self.works:
            self.remove_works()

    def remove(self) -> None:
        """Remove what a launch may have made of it, after all in the box has ended."""
        if self.groups is not None:
            self.groups.remove()
        self.remove_works()

    def remove_works(self) -> None:
        """Remove the work folders alone."""
        for folder in self.works:
            remove_work(folder)


@attrs.frozen
class Command:
    """What is launched, once or more: made by `nsbox.commands` from a spec and its arguments.

    - `strings` are its arguments and environment; none where a first process is to stay without a
      command.
    - `ready` is that with the plan, in C's form; `own` tells what the box of a launch has for
      itself, once that has begun.
    - `failure` makes the error for a step, by its index, that failed with an errno.
    - `end_signal` is what the first process, or the kernel, takes as the order to end the box,
      `stop_signal` as that to stop the command.
    - `connect` makes its place on a network, if it is to have one; given up as it ends.
    - `publish` takes the ports of the host's that are to lead into it, if any are.
    - `joined` are namespaces that it joins and that are open already, as descriptors by slot;
      `namespaces` opens the others, if there are any: one may be of that place.
    - `passed` are descriptors for the command, by slot; `terminal` asks for one of the box's own.
    - `handler` is asked about its system calls, if anybody is.
    - `has_works` is whether a box of its own has work folders, which are removed at its end.
    - `anew` makes the same command by another plan, where this one is a kept one that may not hold
      any longer: its checks tell.

    `used` are launches that have ended, and had the caller's streams, for the next.

    It `is_plain` where nothing has to be opened for its start alone, as for most; and `is_straight`
    where nothing has to be done for it from its start to its end either.
    """

    strings: Strings
    ready: Ready
    own: Callable[[_native.Launched], Own]
    failure: Callable[[int, int], StepError]
    end_signal: int
    stop_signal: int
    connect: Callable[[], Port | None] | None = None
    publish: Callable[[], Publication | None] | None = None
    joined: Mapping[int, int] = FrozenMap()
    namespaces: Callable[[Port | None], AbstractContextManager[Mapping[int, int]]] | None = None
    passed: Mapping[int, int] = FrozenMap()
    terminal: bool = False
    handler: Handler | None = None
    has_works: bool = False
    anew: "Callable[[], Command] | None" = None
    is_plain: bool = attrs.field(init=False)
    is_straight: bool = attrs.field(init=False)
    _joined: list[int] = attrs.field(init=False)
    used: collections.deque[_native.Launched] = attrs.field(init=False)

    @_joined.default
    def _list_joined(self) -> list[int]:
        return given_descriptors(self.joined)[Slot.PAGE :]

    @used.default
    def _keep_some(self) -> "collections.deque[_native.Launched]":
        return collections.deque(maxlen=4)

    @is_plain.default
    def _opens_nothing(self) -> bool:
        return self.namespaces is None and self.handler is None and not self.terminal

    @is_straight.default
    def _is_left_alone(self) -> bool:
        return self.is_plain and self.connect is None and self.publish is None

    def opened(self, port: Port | None) -> AbstractContextManager[Mapping[int, int]]:
        """Open the namespaces that it joins and that are not open."""
        return contextlib.nullcontext({}) if self.namespaces is None else self.namespaces(port)

    def prepared(
        self, given: Mapping[int, int], standard: Sequence[int], *, room: int = 0
    ) -> _native.Launched:
        """Make its launch, for which nothing has been done yet."""
        return self.ready.prepared(self._descriptors(given, standard), room=room)

    def prepared_again(self) -> _native.Launched:
        """Return its launch with the caller's streams: one that was used, if there is one."""
        try:
            return self.used.pop()
        except IndexError:
            return self.prepared(self.joined, ALL_INHERITED)

    def _descriptors(self, given: Mapping[int, int], standard: Sequence[int]) -> list[int]:
        if given is self.joined and not self.passed:  # mostly
            return [*standard, *self._joined]
        return given_descriptors({**given, **self.passed}, standard)


class OutdatedError(Exception):
    """What was made ahead is of no use any longer; nothing was done."""


class Parked(Protocol):
    """A box that waits for its command; `lent` is what it has for itself, as long as that runs."""

    lent: Own

    def lend(self, strings: Strings, standard: Sequence[int]) -> _native.Launched:
        """Make a command's launch in it: to begin that raises `OutdatedError`."""

    @property
    def launched(self) -> _native.Launched:
        """Its own launch."""

    def run(self, strings: Any) -> int:
        """Run a command in it, by its `Strings.pointer`, and wait for the answer.

        Returns as `Launched.run` does; raises `OutdatedError`.
        """

    def leave(self) -> None:
        """Take notice that it has told all, and that nothing more is asked of it."""
